// What a load of the session found, in words.

const MEANINGS = {
  new: "No key cookie came with the request.",
  loaded: "The record was found and opened.",
  rotated: "The key was cycled, and this request still carried the old one: reading only.",
  pending: "Just saved, and not to be seen here yet.",
  stale: "An older copy than the one this browser saved: reading only.",
  gone: "The cookie is good, but its record is no longer there.",
  expired: "The session’s time had passed.",
  revoked: "The session was ended, here or elsewhere.",
  rejected: "The cookie is not one of ours, or was changed.",
  ambiguous: "Two different key cookies came; neither was chosen.",
  corrupt: "The record could not be opened.",
  unavailable: "Storage did not answer.",
};

export const meaningOf = (outcome) => MEANINGS[outcome] ?? "";

/** The outcome is one that a person would ask about. */
export const isRemarkable = (outcome) => outcome !== undefined && outcome !== "new" && outcome !== "loaded";
