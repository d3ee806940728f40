// Bytes and text, where JavaScript's own ways differ from everybody else's.

export const utf8 = new TextEncoder();

/** Compare byte by byte, the shorter first when one begins the other. */
export function compareBytes(a, b) {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i += 1) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

/** Compare two texts by their UTF-8 bytes (JavaScript's own order is that of UTF-16). */
export function compareTexts(a, b) {
  return compareBytes(utf8.encode(a), utf8.encode(b));
}
