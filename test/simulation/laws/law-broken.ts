// What a run of the simulation fails with: the law, as docs/ARCHITECTURE.md counts them, and what was seen.

export class LawBroken extends Error {
  override readonly name = "LawBroken";
  constructor(law: string, what: string) {
    super(`${law}: ${what}`);
  }
}
