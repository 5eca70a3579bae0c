// Instants and spans, as text.

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export const dateText = (instant) => DATE.format(new Date(instant));
export const clockText = (instant) => CLOCK.format(new Date(instant));

/** "6 d 23:59:08", "00:12:40". */
export function spanText(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  const days = Math.floor(seconds / 86400);
  return days > 0 ? `${days} d ${clock}` : clock;
}

/** The value of a `datetime-local` field for an instant. */
export function fieldText(instant) {
  const local = new Date(instant - new Date(instant).getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 16);
}
