// CRC-32C (Castagnoli) in plain JavaScript, eight bytes at a step ("slicing by 8"): a browser has none of its own.

const polynomial = 0x82f63b78; // reflected

/** Eight tables of 256: table k gives what a byte does to the sum after k more bytes. */
const tables = makeTables();

function makeTables(): Uint32Array {
  const made = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ polynomial : sum >>> 1;
    made[byte] = sum;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256]!;
    made[at] = (before >>> 8) ^ made[before & 0xff]!;
  }
  return made;
}

/** As an unsigned number; "123456789" gives 0xe3069283. */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    sum ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    sum =
      tables[7 * 256 + (sum & 0xff)]! ^
      tables[6 * 256 + ((sum >>> 8) & 0xff)]! ^
      tables[5 * 256 + ((sum >>> 16) & 0xff)]! ^
      tables[4 * 256 + (sum >>> 24)]! ^
      tables[3 * 256 + bytes[at + 4]!]! ^
      tables[2 * 256 + bytes[at + 5]!]! ^
      tables[256 + bytes[at + 6]!]! ^
      tables[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ tables[(sum ^ bytes[at]!) & 0xff]!;
  return (sum ^ 0xffffffff) >>> 0;
}
