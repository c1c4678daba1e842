// A file's bytes in pages that copies share until one of them writes: a crash state costs its changed pages only.

const pageBytes = 4_096;
/** What a disk writes whole or not at all. */
export const sectorBytes = 512;

interface Page {
  /** The PagedBytes that may write here, known by its mark; every other one copies first. */
  readonly owner: object;
  readonly bytes: Uint8Array;
}

const zeros: Page = { owner: {}, bytes: new Uint8Array(pageBytes) };

export class PagedBytes {
  #owner: object = {};
  #pages: Page[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  copy(): PagedBytes {
    const copy = new PagedBytes();
    copy.#pages = this.#pages.slice();
    copy.#sizeBytes = this.#sizeBytes;
    this.#owner = {}; // from now on both copy a page before they write to it
    return copy;
  }

  read(position: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.length, this.#sizeBytes - position));
    for (let done = 0; done < count; ) {
      const at = position + done;
      const offset = at % pageBytes;
      const length = Math.min(count - done, pageBytes - offset);
      target.set(this.#pages[(at - offset) / pageBytes]!.bytes.subarray(offset, offset + length), done);
      done += length;
    }
    return count;
  }

  /** Writes anywhere; what lies between the end and `position` becomes zeros. */
  write(position: number, bytes: Uint8Array): void {
    if (position + bytes.length > this.#sizeBytes) this.resize(position + bytes.length);
    for (let done = 0; done < bytes.length; ) {
      const at = position + done;
      const offset = at % pageBytes;
      const length = Math.min(bytes.length - done, pageBytes - offset);
      this.#ownPage((at - offset) / pageBytes).set(bytes.subarray(done, done + length), offset);
      done += length;
    }
  }

  /** Cuts, or grows by zeros. */
  resize(sizeBytes: number): void {
    const pages = Math.ceil(sizeBytes / pageBytes);
    while (this.#pages.length < pages) this.#pages.push(zeros);
    this.#pages.length = pages;
    // Bytes past the end are kept zero, so that growing shows nothing old.
    if (sizeBytes < this.#sizeBytes && sizeBytes % pageBytes > 0)
      this.#ownPage(pages - 1).fill(0, sizeBytes % pageBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Makes one sector equal to that of `other`, as far as that one reaches; grows if need be. */
  copySector(sector: number, other: PagedBytes): void {
    const start = sector * sectorBytes;
    const content = new Uint8Array(Math.min(sectorBytes, other.#sizeBytes - start));
    other.read(start, content);
    this.write(start, content);
    const end = start + content.length; // the rest of a sector is written too, as zeros
    const left = Math.min(this.#sizeBytes, start + sectorBytes) - end;
    if (left > 0) this.write(end, new Uint8Array(left));
  }

  toUint8Array(): Uint8Array {
    const all = new Uint8Array(this.#sizeBytes);
    this.read(0, all);
    return all;
  }

  #ownPage(index: number): Uint8Array {
    const page = this.#pages[index]!;
    if (page.owner === this.#owner) return page.bytes;
    const bytes = page.bytes.slice();
    this.#pages[index] = { owner: this.#owner, bytes };
    return bytes;
  }
}
