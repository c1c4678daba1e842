// All laws of one log, checked at once.

import type { PartitionLog } from "../../../src/log/partition-log.ts";
import type { ExpectedLog } from "../log-history.ts";
import { type ObservedLog, observe } from "../log-observation.ts";
import { checkAcknowledgedRecords } from "./acknowledged-records.ts";
import { checkBounds } from "./bounds.ts";
import { checkContiguity } from "./contiguity.ts";
import { checkIndexes } from "./indexes.ts";
import { checkProducerSequences } from "./producer-sequences.ts";

export async function checkLog(expected: ExpectedLog, log: PartitionLog, powerWasCut: boolean): Promise<ObservedLog> {
  const observed = await observe(log);
  checkBounds(expected, observed);
  checkContiguity(observed);
  checkAcknowledgedRecords(expected, observed, powerWasCut);
  checkProducerSequences(observed);
  await checkIndexes(log, observed);
  return observed;
}
