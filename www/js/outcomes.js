// What a load of the session found, in words.

const MEANINGS = {
  new: "No key cookie came with the request.",
  loaded: "The record was found and opened.",
  rotated: "The session has a new key, and this request still carried the old one: it can only be read.",
  pending: "Just saved, and not visible here yet.",
  stale: "An older copy than this browser saved: it can only be read.",
  gone: "The cookie is authentic, but its record does not exist.",
  expired: "The session had expired.",
  revoked: "The session was ended, here or elsewhere.",
  rejected: "The cookie is not one of ours, or was changed.",
  ambiguous: "The request had two different key cookies; neither was chosen.",
  corrupt: "The record could not be opened.",
  unavailable: "Storage did not answer.",
};

export const meaningOf = (outcome) => MEANINGS[outcome] ?? "";

/** The outcome is one that a person would ask about. */
export const isRemarkable = (outcome) => outcome !== undefined && outcome !== "new" && outcome !== "loaded";
