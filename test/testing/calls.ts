// What the tests of the testing entry ask a broker for: the plain requests of a user's own code.

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly retriable: boolean;
  readonly maybeAppended?: boolean;
  readonly [field: string]: unknown;
}

export async function createTopic(url: string, name: string): Promise<void> {
  const answer = await postJson(`${url}/v1/topics`, { name });
  if (answer.status !== 201) throw new Error(await answer.text());
}

/** One value into partition 0. */
export function produce(url: string, topic: string, value: unknown, more: object = {}): Promise<Response> {
  return postJson(`${url}/v1/topics/${topic}/partitions/0/records`, { records: [{ value }], ...more });
}

export async function valuesOf(url: string, topic: string): Promise<unknown[]> {
  const answer = await fetch(`${url}/v1/topics/${topic}/partitions/0/records`);
  const { records } = (await answer.json()) as { records: { value: unknown }[] };
  return records.map(({ value }) => value);
}

export async function problemOf(answer: Response): Promise<Problem> {
  if (!answer.headers.get("content-type")?.startsWith("application/problem+json")) throw new Error(await answer.text());
  return (await answer.json()) as Problem;
}

function postJson(url: string, body: object): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}
