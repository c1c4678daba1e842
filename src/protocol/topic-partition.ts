// The names of topics, their partitions' folders and their ids. Whatever is legal here is safe as a part of a path.

export const partitionMax = 2 ** 31 - 1;
export const topicIdBytes = 16;
/** A topic id is written as 22 characters of base64url. */
export const topicIdLength = 22;

const namePattern = /^[a-zA-Z0-9._-]{1,249}$/;
const partitionPattern = /^(?:0|[1-9][0-9]{0,9})$/;

/** Kafka's rule; groups, members and instances have the same. */
export function isLegalTopicName(name: string): boolean {
  return namePattern.test(name) && name !== "." && name !== "..";
}

/** Internal topics are the broker's own: readable, not writable by clients. */
export function isInternalTopic(name: string): boolean {
  return name.startsWith("__");
}

/** `orders-3`, as in Kafka's data folders. */
export function partitionFolderName(topic: string, partition: number): string {
  return `${topic}-${partition}`;
}

/** Undefined unless partitionFolderName gives exactly this name for a legal topic and partition. */
export function parsePartitionFolderName(folder: string): { topic: string; partition: number } | undefined {
  const dash = folder.lastIndexOf("-");
  const digits = folder.slice(dash + 1);
  const topic = folder.slice(0, Math.max(dash, 0));
  const partition = Number(digits);
  if (!partitionPattern.test(digits) || partition > partitionMax || !isLegalTopicName(topic)) return undefined;
  return { topic, partition };
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** 16 random bytes as a random UUID (version 4), in base64url. Never begins with "-", which a command line would take for an option. */
export function newTopicId(randomBytes: Uint8Array): string {
  const uuid = randomBytes.slice(0, topicIdBytes);
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  if (uuid[0]! >> 2 === base64url.indexOf("-")) uuid[0] = uuid[0]! & 0x7f;
  return formatTopicId(uuid);
}

/** 16 bytes as 22 characters. */
export function formatTopicId(uuid: Uint8Array): string {
  let text = "";
  let waiting = 0;
  let waitingBits = 0;
  for (let index = 0; index < topicIdBytes; index++) {
    waiting = (waiting << 8) | uuid[index]!;
    waitingBits += 8;
    while (waitingBits >= 6) {
      waitingBits -= 6;
      text += base64url[(waiting >> waitingBits) & 63];
    }
    waiting &= 63;
  }
  return text + base64url[(waiting << (6 - waitingBits)) & 63];
}

/** The bytes of a topic id; undefined if formatTopicId does not write any bytes so. */
export function parseTopicId(text: string): Uint8Array | undefined {
  if (text.length !== topicIdLength) return undefined;
  const uuid = new Uint8Array(topicIdBytes);
  let waiting = 0;
  let waitingBits = 0;
  let length = 0;
  for (const character of text) {
    const value = base64url.indexOf(character);
    if (value < 0) return undefined;
    waiting = ((waiting << 6) | value) & 0xfff;
    waitingBits += 6;
    if (waitingBits < 8) continue;
    waitingBits -= 8;
    uuid[length++] = (waiting >> waitingBits) & 0xff;
  }
  // The last character has four bits too many: they are zero.
  return (waiting & 0x0f) === 0 ? uuid : undefined;
}
