// A folder of one's own among the system's temporary ones.

import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes it, with a name nobody has; whoever asked removes it. */
export function makeTemporaryFolder(prefix: string): Promise<string> {
  return fs.mkdtemp(join(tmpdir(), prefix));
}
