// stub
import { BrokerError } from "../../protocol/error-codes.ts";
import type { SubscribeGroupFrame } from "./client-frames.ts";
import type { Subscription, SubscriptionHost } from "./subscription.ts";
export class GroupSubscription implements Subscription {
  readonly id;
  readonly partitionCount = 0;
  constructor(_host: SubscriptionHost, frame: SubscribeGroupFrame) {
    this.id = frame.id;
  }
  async open(): Promise<void> {
    throw new BrokerError("INVALID_REQUEST", "not yet");
  }
  ack(): void {}
  seek(): Promise<void> | undefined {
    return undefined;
  }
  unsubscribe(): Promise<void> | undefined {
    return undefined;
  }
  drop(): void {}
}
