// The smallest Worker on a KV namespace: it does what the request's body says and tells the
// outcome, so that the tests' storage can be tested through the runtime's real binding.

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/now") return Response.json(Date.now());
    const { call, args } = await request.json();
    try {
      const value = await env.SESSIONS[call](...args);
      return Response.json({ value: value instanceof Map ? Object.fromEntries(value) : value });
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};
