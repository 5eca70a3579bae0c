/** `cookie` with another letter in the tail of each value, where the signature is. */
export function otherTail(cookie) {
  return cookie
    .split("; ")
    .map((pair) => {
      // The end may be percent-encoded padding: change what is before it.
      const end = pair.search(/(%3D|=)*$/i);
      const at = end - 4;
      return `${pair.slice(0, at)}${pair[at] === "A" ? "B" : "A"}${pair.slice(at + 1)}`;
    })
    .join("; ");
}
