// One minimal history for each kind of anomaly must be flagged with exactly that kind, and what is allowed with none.

import { describe, expect, test } from "vitest";
import { type AnomalyKind, checkHistory } from "./check-history.ts";
import { History, type Place } from "./history.ts";

const partition = 0;

/** Writes histories the way they read. Offsets are of partition 0; `mark` is the high watermark that a poll is told. */
class Story {
  readonly history = new History();

  invoke(process: string, values: string, options: { plain?: boolean } = {}): number {
    const operation = this.history.newOperation();
    this.#invoke(process, operation, values.split(" "), !options.plain);
    return operation;
  }

  again(process: string, operation: number, values: string): void {
    this.#invoke(process, operation, values.split(" "), true);
  }

  #invoke(process: string, operation: number, values: string[], idempotent: boolean): void {
    this.history.add({ f: "send", type: "invoke", process, operation, idempotent, values });
  }

  ok(process: string, operation: number, ...offsets: number[]): void {
    const placed: Place[] = offsets.map((offset) => ({ partition, offset }));
    this.history.add({ f: "send", type: "ok", process, operation, placed });
  }

  unanswered(type: "fail" | "info", process: string, operation: number): void {
    this.history.add({ f: "send", type, process, operation, reason: "" });
  }

  send(process: string, values: string, ...offsets: number[]): void {
    this.ok(process, this.invoke(process, values), ...offsets);
  }

  poll(process: string, from: number, records: string, mark: number, invokedAfter = this.history.length): void {
    this.#poll(process, from, records, { mark, invokedAfter });
  }

  final(records: string): void {
    this.#poll("final", 0, records, { mark: 100, invokedAfter: this.history.length, final: true });
  }

  /** Records as "offset:value offset:value". */
  #poll(process: string, from: number, text: string, more: { mark: number; invokedAfter: number; final?: true }): void {
    const records = (text === "" ? [] : text.split(" ")).map((record) => {
      const [offset = "", value = ""] = record.split(":");
      return { offset: Number(offset), value };
    });
    const { mark: highWatermark, ...rest } = more;
    this.history.add({ f: "poll", type: "ok", process, partition, from, records, highWatermark, ...rest });
  }
}

function kindsIn(tell: (story: Story) => void): AnomalyKind[] {
  const story = new Story();
  tell(story);
  return checkHistory(story.history).anomalies.map(({ kind }) => kind);
}

const golden: readonly [AnomalyKind, string, (story: Story) => void][] = [
  [
    "lostWrite",
    "an acknowledged value is gone from the end of the log",
    (story) => {
      story.send("p", "a", 0);
      story.send("p", "b", 1);
      story.final("0:a");
    },
  ],
  [
    "lostRead",
    "a value in doubt was read and is gone later",
    (story) => {
      story.send("p", "a", 0);
      story.unanswered("info", "q", story.invoke("q", "x"));
      story.poll("r", 0, "0:a 1:x", 2);
      story.final("0:a");
    },
  ],
  [
    "phantomRead",
    "a value that nobody sent",
    (story) => {
      story.send("p", "a", 0);
      story.final("0:a 1:ghost");
    },
  ],
  [
    "abortedRead",
    "a refused value is in the log",
    (story) => {
      story.send("p", "a", 0);
      story.unanswered("fail", "p", story.invoke("p", "b"));
      story.final("0:a 1:b");
    },
  ],
  [
    "inconsistentOffsets",
    "an offset changes its value",
    (story) => {
      const first = story.invoke("p", "a");
      const second = story.invoke("q", "b");
      story.poll("r", 0, "0:a", 1);
      story.unanswered("info", "p", first);
      story.unanswered("info", "q", second);
      story.final("0:b 1:a");
    },
  ],
  [
    "inconsistentOffsets",
    "an acknowledged value has moved",
    (story) => {
      const other = story.invoke("q", "x");
      story.send("p", "a", 0);
      story.unanswered("info", "q", other);
      story.final("0:x 1:a");
    },
  ],
  [
    "duplicate",
    "a repeated send was appended twice",
    (story) => {
      const operation = story.invoke("p", "a");
      story.unanswered("info", "p", operation);
      story.again("p", operation, "a");
      story.ok("p", operation, 1);
      story.final("0:a 1:a");
    },
  ],
  [
    "nonmonotonicSend",
    "a producer's values stand in another order",
    (story) => {
      const first = story.invoke("p", "a");
      const second = story.invoke("p", "b");
      story.ok("p", second, 0);
      story.ok("p", first, 1);
      story.final("0:b 1:a");
    },
  ],
  [
    "nonmonotonicSend",
    "the values of one send stand in another order",
    (story) => {
      story.send("p", "a b", 1, 0);
      story.final("0:b 1:a");
    },
  ],
  [
    "realTimeOrder",
    "a later send of another producer stands before an acknowledged one",
    (story) => {
      story.send("p", "a", 1);
      story.send("q", "b", 0);
      story.final("0:b 1:a");
    },
  ],
  [
    "skippedPoll",
    "a reader's next poll leaves a record out",
    (story) => {
      story.send("p", "a b c", 0, 1, 2);
      story.poll("r", 0, "0:a", 3);
      story.poll("r", 2, "2:c", 3);
      story.final("0:a 1:b 2:c");
    },
  ],
  [
    "skippedPoll",
    "a record is left out within a poll",
    (story) => {
      story.send("p", "a b c", 0, 1, 2);
      story.poll("r", 0, "0:a 2:c", 3);
      story.final("0:a 1:b 2:c");
    },
  ],
  [
    "nonmonotonicPoll",
    "a poll gives a record twice",
    (story) => {
      story.send("p", "a b", 0, 1);
      story.poll("r", 0, "0:a 0:a 1:b", 2);
      story.final("0:a 1:b");
    },
  ],
  [
    "highWatermarkBack",
    "a high watermark below what was acknowledged before",
    (story) => {
      story.send("p", "a b", 0, 1);
      story.poll("r", 0, "0:a", 1);
      story.final("0:a 1:b");
    },
  ],
  [
    "highWatermarkBack",
    "a high watermark below an earlier one",
    (story) => {
      story.poll("r", 0, "", 7);
      story.poll("r", 0, "", 6);
      story.poll("r", 0, "", 7);
      story.final("");
    },
  ],
];

describe("a broken promise is named", () => {
  for (const [kind, name, tell] of golden) {
    test(`${kind}: ${name}`, () => {
      expect(new Set(kindsIn(tell))).toEqual(new Set([kind]));
    });
  }

  test("every kind has a golden history", () => {
    const all: Record<AnomalyKind, true> = {
      lostWrite: true,
      lostRead: true,
      phantomRead: true,
      abortedRead: true,
      inconsistentOffsets: true,
      duplicate: true,
      nonmonotonicSend: true,
      realTimeOrder: true,
      skippedPoll: true,
      nonmonotonicPoll: true,
      highWatermarkBack: true,
    };
    expect(new Set(golden.map(([kind]) => kind))).toEqual(new Set(Object.keys(all)));
  });
});

describe("what is allowed is not flagged", () => {
  const allowed: readonly [string, (story: Story) => void][] = [
    [
      "a clean run of two producers and a reader",
      (story) => {
        const first = story.invoke("p", "a b");
        const second = story.invoke("q", "x");
        story.ok("q", second, 2);
        story.ok("p", first, 0, 1);
        story.poll("r", 0, "0:a 1:b", 3);
        story.poll("r", 2, "2:x", 3);
        story.final("0:a 1:b 2:x");
      },
    ],
    [
      "values in doubt, one there and one not",
      (story) => {
        story.unanswered("info", "p", story.invoke("p", "a"));
        story.unanswered("info", "q", story.invoke("q", "b"));
        story.final("0:b");
      },
    ],
    [
      "a refusal after an attempt in doubt, whose value is there",
      (story) => {
        const operation = story.invoke("p", "a");
        story.unanswered("info", "p", operation);
        story.again("p", operation, "a");
        story.unanswered("fail", "p", operation);
        story.final("0:a");
      },
    ],
    [
      "a refused value that is not there",
      (story) => {
        story.unanswered("fail", "p", story.invoke("p", "a"));
        story.final("");
      },
    ],
    [
      "a plain producer's value twice",
      (story) => {
        story.unanswered("info", "p", story.invoke("p", "a", { plain: true }));
        story.final("0:a 1:a");
      },
    ],
    [
      "a poll sent before an acknowledgement and answered after it",
      (story) => {
        const sent = story.history.length;
        story.send("p", "a", 0);
        story.poll("r", 0, "", 0, sent);
        story.final("0:a");
      },
    ],
    [
      "a reader that goes back by itself",
      (story) => {
        story.send("p", "a b", 0, 1);
        story.poll("r", 0, "0:a 1:b", 2);
        story.poll("r", 0, "0:a", 2);
        story.poll("r", 1, "1:b", 2);
        story.final("0:a 1:b");
      },
    ],
  ];
  for (const [name, tell] of allowed) {
    test(name, () => expect(kindsIn(tell)).toEqual([]));
  }

  test("counts say what the judgement stands on", () => {
    const story = new Story();
    story.send("p", "a b", 0, 1);
    story.unanswered("info", "q", story.invoke("q", "x y"));
    story.unanswered("fail", "q", story.invoke("q", "z"));
    story.final("0:a 1:b 2:x 3:y");
    const verdict = checkHistory(story.history);
    expect(verdict).toEqual({ anomalies: [], acknowledged: 2, inDoubt: 2, inDoubtThere: 2, finalRecords: 4 });
  });
});

test("a history that reuses a value is no evidence and is refused", () => {
  const story = new Story();
  story.send("p", "a", 0);
  story.send("q", "a", 1);
  expect(() => checkHistory(story.history)).toThrow("unique");
});
