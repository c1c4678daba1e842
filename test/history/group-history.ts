// What the members of a group, those who end and start them, and one who watches the committed offsets did and saw, in the order it
// happened: the one thing that check-group-history judges by. An event is written down when it is known and not later.

export type GroupEvent =
  | Assigned
  | Handled
  | Committed
  | NotCommitted
  | Refused
  | Ended
  | OffsetsSeen
  | { readonly f: "answerLost" | "unanswered"; readonly member: string }
  | OffsetsAsked
  | { readonly f: "brokerKilled" };

/** `member` is one life of a client: whoever starts again under the same member id is another. */
interface MemberEvent {
  readonly member: string;
}

/** An answer said that these partitions are the member's, and no others. */
export interface Assigned extends MemberEvent {
  readonly f: "assigned";
  readonly partitions: readonly number[];
}

export interface Handled extends MemberEvent {
  readonly f: "handled";
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

/** The call that carried the commit was answered. */
export interface Committed extends MemberEvent {
  readonly f: "committed";
  readonly partition: number;
  readonly nextOffset: number;
}

/** It was answered, and this part was left out. */
export interface NotCommitted extends MemberEvent {
  readonly f: "notCommitted";
  readonly partition: number;
  readonly code: string;
}

/** 409: the member drops all it holds. */
export interface Refused extends MemberEvent {
  readonly f: "refused";
  readonly code: string;
}

/** `left` had committed all it handled; `died` and `hung` may not, and the hung one comes back without knowing. */
export interface Ended extends MemberEvent {
  readonly f: "left" | "died" | "hung";
}

/** Somebody asks for the committed offsets; what had happened before, the answer must show. */
export interface OffsetsAsked {
  readonly f: "offsetsAsked";
  readonly by: string;
}

/** The answer to whom it was last asked by. */
export interface OffsetsSeen {
  readonly f: "offsetsSeen";
  readonly by: string;
  readonly positions: readonly { readonly partition: number; readonly nextOffset: number }[];
}

export class GroupHistory {
  readonly events: GroupEvent[] = [];

  add(event: GroupEvent): void {
    this.events.push(event);
  }

  /** One event a line. */
  toJsonLines(): string {
    return this.events.map((event) => `${JSON.stringify(event)}\n`).join("");
  }
}
