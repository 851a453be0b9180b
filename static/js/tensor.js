/** A tensor of POST /inspect in base64, as an array of floats. */

const IS_LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The numbers of `{shape, data}` in one flat array, last index fastest. Infinities stay what they are. */
export function floats({ data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i); // a call for each byte takes five times as long
  if (IS_LITTLE) return new Float32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}
