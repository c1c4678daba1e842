// An Idempotency-Key is a producer id of a reserved range, made from the key's text, with one batch at sequence 0:
// so log, replicas and recovery know it as they know any producer.

import { createHash } from "node:crypto";
import { reservedProducerIdMin } from "../protocol/batch-validation.ts";

const keyBits = 62n;

export function idempotencyProducerId(key: string): bigint {
  const digest = createHash("sha256").update(key).digest();
  return reservedProducerIdMin + (digest.readBigUInt64BE(0) >> (64n - keyBits));
}
