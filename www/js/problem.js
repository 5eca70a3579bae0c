// A refusal: what the API said as problem+json, or what kept it from answering.

export class Problem extends Error {
  constructor({ status = 0, code, title, detail = "", retryAfter = null }) {
    super(title);
    this.name = "Problem";
    Object.assign(this, { status, code, title, detail, retryAfter });
  }

  /** Nothing that is our API has answered. */
  get unreachable() {
    return this.code === "unreachable" || this.code === "not_the_api";
  }

  /** One line for the place where it happened. */
  get text() {
    // A title that only repeats the code says less than the detail.
    const said = this.title === this.code.replaceAll("_", " ") && this.detail ? [this.detail] : [this.title, this.detail];
    const sentences = said.filter(Boolean).map(sentence);
    if (this.retryAfter) sentences.push(`Try again in ${this.retryAfter} s.`);
    return sentences.join(" ");
  }
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

export function noAnswer(error) {
  return new Problem({
    code: "unreachable",
    title: "The API cannot be reached",
    detail: error.name === "TimeoutError" ? "No answer within 20 seconds. The request may still have taken effect" : "",
  });
}

/** The problem in an answer that is not a success. */
export function problemOf(response, body) {
  if (typeof body?.code !== "string") {
    return new Problem({
      status: response.status,
      code: "not_the_api",
      title: "The answer is not from the session API",
      detail: `Status ${response.status} without problem+json`,
    });
  }
  return new Problem({
    status: response.status,
    code: body.code,
    title: body.title ?? body.code,
    detail: body.detail,
    retryAfter: response.headers.get("retry-after"),
  });
}
