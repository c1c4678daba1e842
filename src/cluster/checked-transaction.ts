// What every store asks of a transaction before it does anything; what breaks these rules is refused alike by all.

import { assert } from "../assert.ts";
import { BrokerError } from "../protocol/error-codes.ts";
import { type Compare, type Operation, transactionBytesMax, transactionOperationsMax } from "./metadata-store.ts";
import { jsonText } from "./stored-json.ts";

/** An operation whose value is JSON text: what the caller does to its objects afterwards changes nothing. */
export type CheckedOperation =
  | { readonly kind: "put"; readonly key: string; readonly text: string; readonly lease: number | undefined }
  | { readonly kind: "delete"; readonly key: string };

const keyPattern = /^[\x21-\x7e]{1,512}$/;

export function checkedTransaction(compares: readonly Compare[], operations: readonly Operation[]): CheckedOperation[] {
  assert(compares.length <= transactionOperationsMax, `a transaction of ${compares.length} compares`);
  assert(operations.length <= transactionOperationsMax, `a transaction of ${operations.length} operations`);
  assert(new Set(operations.map(({ key }) => key)).size === operations.length, "a key appears in two operations");
  let bytes = 0;
  const checked = operations.map((operation): CheckedOperation => {
    const { key } = operation;
    assert(keyPattern.test(key), `not a key: ${JSON.stringify(key)}`);
    bytes += key.length;
    if (operation.kind === "delete") return { kind: "delete", key };
    const text = jsonText(operation.value);
    bytes += Buffer.byteLength(text);
    return { kind: "put", key, text, lease: operation.lease };
  });
  if (bytes > transactionBytesMax)
    throw new BrokerError(
      "INVALID_REQUEST",
      `a change of metadata is at most ${transactionBytesMax} bytes, not ${bytes}`,
    );
  return checked;
}
