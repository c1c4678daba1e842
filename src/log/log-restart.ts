// Lets a log begin anew, empty, at an offset that its files say nothing of. A crash leaves the old log or the new one: an empty file
// <20 digits>.log.restart is the decision, once its name is durable. From then on every start drops what else there is and begins
// at that offset. The mark goes last, when the checkpoints tell of the new beginning, and before anything is appended.

import type { Disk } from "../io/disk.ts";
import { segmentFileName } from "./file-names.ts";
import { LeaderEpochCache } from "./leader-epoch-cache.ts";
import type { LogContext } from "./log-context.ts";
import { type RecoveredLog, type RecoveryInput, recoverLog } from "./recovery.ts";
import { Segment } from "./segment.ts";

const mark = /^(\d{20})\.log\.restart$/;
const dropped = /^\d{20}\.(log|index|timeindex|snapshot)(\.swap|\.cleaned|\.deleted|\.tmp)?$/;

/** Decided when it returns: finishRestart has to follow, here or at the next start. */
export async function decideRestart({ disk }: LogContext, directory: string, offset: number): Promise<void> {
  const file = await disk.create(`${directory}/${segmentFileName(offset, ".log")}.restart`);
  await file.close();
  await disk.syncDir(directory);
}

/** As recoverLog, of a folder in which a restart may have been decided; then it is carried out, but for the checkpoints. */
export async function recoverFolder(
  context: LogContext,
  input: RecoveryInput,
): Promise<RecoveredLog & { readonly restarted: boolean }> {
  const offset = await settleRestart(context, input.identity.directory);
  if (offset === undefined) return { ...(await recoverLog(context, input)), restarted: false };
  const known = { recoveryPoint: offset, highWatermark: offset, logStartOffset: offset };
  const cleanedTo = input.cleanedTo === undefined ? undefined : offset;
  return { ...(await recoverLog(context, { ...input, ...known, cleanedTo, clean: false })), restarted: true };
}

/** The checkpoints know where the log begins; durable when it returns. */
export async function finishRestart(disk: Disk, directory: string): Promise<void> {
  for (const { name } of await disk.list(directory)) if (mark.test(name)) await disk.removeFile(`${directory}/${name}`);
  await disk.syncDir(directory);
}

/** Where the log begins by now, if that was decided. */
async function settleRestart(context: LogContext, directory: string): Promise<number | undefined> {
  const { disk, logger } = context;
  const names = (await disk.list(directory)).map(({ name }) => name);
  const decided = names.map((name) => mark.exec(name)?.[1]).find((digits) => digits !== undefined);
  if (decided === undefined) return undefined;
  const offset = Number(decided);
  await disk.syncDir(directory); // a name that only a killed process has given must not vanish once the old log goes
  for (const name of names) if (dropped.test(name)) await disk.removeFile(`${directory}/${name}`);
  const segment = await Segment.create(context, directory, offset);
  await segment.sync();
  await segment.close();
  await new LeaderEpochCache(disk, directory).write();
  logger.info({ directory, offset }, "the log begins anew");
  return offset;
}
