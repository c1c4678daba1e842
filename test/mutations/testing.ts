// Seeded defects of src/testing: a fault that is not one, a death that is not sudden.

import type { Mutation } from "./mutation.ts";

const faults = "test/testing/faults.test.ts";
const starting = "test/testing/start-broker.test.ts";

export const testingMutations: readonly Mutation[] = [
  {
    name: "testing-dropped-request-is-handled",
    file: "src/testing/faults.ts",
    find: "          request.socket.destroy();\n          return;",
    replace: "          request.socket.destroy();",
    caughtBy: faults,
    test: "drop before",
  },
  {
    name: "testing-fault-meets-once-more",
    file: "src/testing/faults.ts",
    find: "if (this.met === this.scope.times) this.end();",
    replace: "if (this.scope.times !== undefined && this.met > this.scope.times) this.end();",
    caughtBy: faults,
    test: "refuse: the next two",
  },
  {
    name: "testing-kill-closes-in-order",
    file: "src/testing.ts",
    find: "    await life.kill();",
    replace: "    await serving.broker.close();\n    await life.kill();",
    caughtBy: starting,
    test: "kill: a waiting read",
  },
];
