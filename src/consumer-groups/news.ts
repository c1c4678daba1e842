// Who waits for news of a member, and how they are told. A poll waits here while its member has nothing to read.

export class News {
  readonly #listeners = new Map<string, Map<string, Set<() => void>>>();

  /** Gives the way to stop listening. */
  listen(groupId: string, memberId: string, tell: () => void): () => void {
    const group = this.#listeners.get(groupId) ?? new Map<string, Set<() => void>>();
    this.#listeners.set(groupId, group);
    const member = group.get(memberId) ?? new Set<() => void>();
    group.set(memberId, member.add(tell));
    return () => {
      member.delete(tell);
      if (member.size === 0 && group.get(memberId) === member) group.delete(memberId);
      if (group.size === 0 && this.#listeners.get(groupId) === group) this.#listeners.delete(groupId);
    };
  }

  tell(groupId: string, memberId: string): void {
    for (const tell of [...(this.#listeners.get(groupId)?.get(memberId) ?? [])]) tell();
  }

  tellAll(ofGroup: (groupId: string) => boolean): void {
    for (const [groupId, members] of [...this.#listeners]) {
      if (!ofGroup(groupId)) continue;
      for (const memberId of [...members.keys()]) this.tell(groupId, memberId);
    }
  }
}
