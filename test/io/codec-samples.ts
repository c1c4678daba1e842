// Data for test/golden/codecs, made by the tools zstd 1.5.4 and lz4 1.9.4 from exactly these bytes:
// `<sample>.<n>.zst` and `<sample>.<n>.lz4`. Each must inflate to its sample.

export const samples: Readonly<Record<string, () => Uint8Array>> = {
  empty: () => new Uint8Array(0),
  byte: () => Uint8Array.of(65),
  zeros: () => new Uint8Array(300_000),
  noise: () => bytes(3_000, (next) => next() * 256),
  skewed: () => bytes(4_000, (next) => next() * next() * 20),
  text: () => repeated(20_000, (next) => `${Math.floor(next() * next() * 60).toString(36)}-word `),
  json: () => repeated(200_000, (next) => `{"id":${Math.floor(next() * 40)},"ok":${next() < 0.5},"name":"user"}\n`),
  far: () => far(200_000),
};

function random(): () => number {
  let state = 7;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function bytes(length: number, byte: (next: () => number) => number): Uint8Array {
  const next = random();
  return Uint8Array.from({ length }, () => Math.floor(byte(next)));
}

function repeated(length: number, part: (next: () => number) => string): Uint8Array {
  const next = random();
  let text = "";
  while (text.length < length) text += part(next);
  return new TextEncoder().encode(text.slice(0, length));
}

/** Noise that comes again after more than a block. */
function far(length: number): Uint8Array {
  const noise = bytes(1_000, (next) => next() * 256);
  const result = new Uint8Array(length);
  result.set(noise, 0);
  result.set(noise, length - noise.length);
  return result;
}
