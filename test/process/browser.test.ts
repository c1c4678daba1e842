// The example page in a real Chromium: it tails live records over WebSocket and over EventSource, and goes on by itself after the broker
// was killed and came back. A picture of the end is kept in .test-output/browser.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { expect, test } from "vitest";
import { needs } from "../required-tools.ts";
import { BrokerProcess } from "./broker-process.ts";
import { ExamplePage } from "./example-process.ts";
import { expectStatus, HttpClient } from "./http-client.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const artifacts = join(import.meta.dirname, "../../.test-output/browser");
const topic = "sightings";
const partitionCount = 2;
const waitMs = 15_000;
const sides = ["websocket", "eventsource"] as const;

async function produce(client: HttpClient, url: string, from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number++) {
    const records = [
      { key: `heron ${number % 5}`, value: { seen: number, at: ["weir", "pond", "sluice"][number % 3] } },
    ];
    expectStatus(await client.post(`${url}/v1/topics/${topic}/records`, { records }), 200);
  }
}

/** Waits until both sides of the page have counted so many records, and are where the topic ends. */
async function bothShow(page: Page, count: number): Promise<void> {
  for (const side of sides) {
    await page.locator(`#${side}[data-state="live"] .count`, { hasText: new RegExp(`^${count}$`) }).waitFor();
    await page.locator(`#${side} .behind`, { hasText: /^0$/ }).waitFor();
  }
}

/** What one side lists, as partition:offset. */
async function placesOn(page: Page, side: string): Promise<string[]> {
  return (await page.locator(`#${side} .records i`).allTextContents()).sort();
}

needs("chromium").describe("a real browser", () => {
  test("tails a topic twice, lives through a kill of the broker, and sends", async () => {
    using folder = new TemporaryFolder();
    await using client = new HttpClient(2);
    await using site = await ExamplePage.start();
    const args = ["--allowed-origins", site.origin];
    let broker = await BrokerProcess.start({ dataDir: folder.path, args });
    // As root, as CI is, Chromium's own sandbox cannot be.
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      const { url } = broker;
      expectStatus(await client.post(`${url}/v1/topics`, { name: topic, partitionCount }), 201);
      await produce(client, url, 1, 3);
      const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
      page.setDefaultTimeout(waitMs);
      const bugs: string[] = [];
      page.on("pageerror", (error) => bugs.push(String(error)));
      await page.goto(`${site.origin}/?${new URLSearchParams({ broker: url, topic, offset: "earliest" })}`);
      await bothShow(page, 3);
      await produce(client, url, 4, 10);
      await bothShow(page, 10);

      await broker.kill();
      for (const side of sides) await page.locator(`#${side}[data-state="waiting"]`).waitFor();
      broker = await BrokerProcess.start({ dataDir: folder.path, listen: new URL(url).host, args });
      expect(broker.url).toBe(url);
      await produce(client, url, 11, 20);
      await bothShow(page, 20);

      await page.getByLabel("Record to send").fill("<b>hello</b> from Chromium");
      await page.getByRole("button", { name: "Send" }).click();
      await bothShow(page, 21);
      for (const side of sides) {
        const places = await placesOn(page, side);
        expect(new Set(places).size, `${side}: ${places}`).toBe(21); // each once, none missed
        await page.locator(`#${side} .records span`, { hasText: "<b>hello</b> from Chromium" }).waitFor();
      }
      mkdirSync(artifacts, { recursive: true });
      await page.screenshot({ path: join(artifacts, "tail.png") });
      expect(bugs).toEqual([]);
    } finally {
      await browser.close();
      await broker.kill();
    }
  });
});
