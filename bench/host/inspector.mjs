// V8's sampling profiler, over the inspector that workerd opens (Chrome DevTools Protocol).

import { Stop } from "../../scripts/run.mjs";

/** Microseconds between two samples. */
const INTERVAL = 100;

/** The profile of what the isolate does during `act`. */
export async function inspect(port, act) {
  const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Stop("workerd's inspector did not answer"));
  });
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const [resolve, reject] = waiting.get(id) ?? [];
    waiting.delete(id);
    if (error) reject?.(new Stop(`workerd's inspector: ${error.message}`));
    else resolve?.(result);
  };
  let sent = 0;
  const ask = (method, params = {}) =>
    new Promise((resolve, reject) => {
      sent += 1;
      waiting.set(sent, [resolve, reject]);
      socket.send(JSON.stringify({ id: sent, method, params }));
    });
  try {
    await ask("Profiler.enable");
    await ask("Profiler.setSamplingInterval", { interval: INTERVAL });
    await ask("Profiler.start");
    await act();
    return (await ask("Profiler.stop")).profile;
  } finally {
    socket.close();
  }
}
