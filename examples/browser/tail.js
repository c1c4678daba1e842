// Tails one topic over WebSocket and over EventSource, side by side. Each goes on by itself where it was, after any break.
// ?broker=http://127.0.0.1:8082&topic=readings&offset=-20 — the offset is any that a read takes.

const parameters = new URLSearchParams(location.search);
const broker = (parameters.get("broker") ?? "http://127.0.0.1:8082").replace(/\/+$/, "");
const topic = parameters.get("topic") ?? "readings";
const offset = parameters.get("offset") ?? "-20";

const shownMax = 40;
const retryMsMax = 5_000;
/** A page is not told of a network that has gone silent: it asks, and without an answer until the next question it moves on. */
const pingEveryMs = 15_000;

/** What one side of the page shows. Records only count and wait; the screen is drawn once a frame, however many come. */
class Panel {
  #root;
  #count = 0;
  #waiting = [];
  #arrivals = [];
  #ends = new Map();
  #drawing = false;

  constructor(id) {
    this.#root = document.getElementById(id);
    setInterval(() => this.#draw(), 500); // the rate falls also when nothing comes
  }

  state(state, text) {
    this.#root.dataset.state = state;
    this.#part("state").textContent = text;
  }

  records(records) {
    this.#count += records.length;
    this.#arrivals.push([performance.now(), records.length]);
    this.#waiting.push(...records);
    if (this.#waiting.length > shownMax) this.#waiting.splice(0, this.#waiting.length - shownMax);
    this.#drawSoon();
  }

  note(text) {
    this.#waiting.push({ note: text });
    this.#drawSoon();
  }

  behind(partition, records) {
    this.#ends.set(partition, records);
  }

  #drawSoon() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const now = performance.now();
    while (this.#arrivals.length > 0 && this.#arrivals[0][0] < now - 1_000) this.#arrivals.shift();
    const rate = this.#arrivals.reduce((sum, [, records]) => sum + records, 0);
    const behind = [...this.#ends.values()].reduce((sum, records) => sum + records, 0);
    this.#part("count").textContent = this.#count.toLocaleString("en");
    this.#part("rate").textContent = rate.toLocaleString("en");
    this.#part("behind").textContent = this.#ends.size === 0 ? "–" : behind.toLocaleString("en");
    const list = this.#part("records");
    list.prepend(...this.#waiting.splice(0).reverse().map(lineOf));
    while (list.childElementCount > shownMax) list.lastElementChild.remove();
  }

  #part(name) {
    return this.#root.querySelector(`.${name}`);
  }
}

/** Records are shown as text, never as markup: anybody may have written them. */
function lineOf({ note, partition, offset: at, key, value }) {
  const line = document.createElement("li");
  const add = (tag, text) => line.append(Object.assign(document.createElement(tag), { textContent: text }));
  if (note !== undefined) {
    line.className = "note";
    add("span", note);
    return line;
  }
  add("i", `${partition}:${at}`);
  if (key !== null) add("b", String(key));
  add("span", typeof value === "string" ? value : JSON.stringify(value));
  return line;
}

/** A socket that comes back, asks for what follows the last record it has seen, and sends on the way. */
class SocketTail {
  #panel = new Panel("websocket");
  #positions = new Map();
  #socket;
  #failures = 0;
  #asked = 0;

  connect() {
    this.#panel.state("waiting", "connecting");
    const socket = new WebSocket(`${broker.replace(/^http/, "ws")}/v1/ws`, "millrace.v1.json");
    let reconnectAfterMs;
    let isAnswered = true;
    const pings = setInterval(() => {
      if (!isAnswered) gone();
      else if (socket.readyState === WebSocket.OPEN) {
        isAnswered = false;
        this.#asked += 1;
        socket.send(JSON.stringify({ type: "ping", id: this.#asked }));
      }
    }, pingEveryMs);
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      isAnswered = true;
      if (frame.type === "ready") this.#subscribe(socket);
      else if (frame.type === "subscribed") this.#goOnFrom(frame.positions);
      else if (frame.type === "records") this.#take(frame);
      else if (frame.type === "goaway") ({ reconnectAfterMs } = frame);
      else if (frame.type === "problem") this.#refused(socket, frame);
    };
    const gone = () => {
      clearInterval(pings);
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
      this.#failures += 1;
      const backoffMs = Math.random() * Math.min(retryMsMax, 100 * 2 ** this.#failures);
      const waitMs = Math.max(reconnectAfterMs ?? 0, backoffMs);
      this.#panel.state("waiting", `again in ${(waitMs / 1_000).toFixed(1)} s`);
      setTimeout(() => this.connect(), waitMs);
    };
    socket.onclose = gone;
    this.#socket = socket;
  }

  /** False while there is no socket to send on. */
  send(value) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#asked += 1;
    this.#socket.send(JSON.stringify({ type: "produce", id: this.#asked, topic, records: [{ value }] }));
    return true;
  }

  #subscribe(socket) {
    const from = this.#positions.size === 0 ? { offset } : { positions: [...this.#positions.values()] };
    socket.send(JSON.stringify({ type: "subscribe", id: "tail", topic, offsetReset: "earliest", ...from }));
  }

  #goOnFrom(positions) {
    for (const position of positions) this.#positions.set(position.partition, position);
    this.#failures = 0;
    this.#panel.state("live", "live");
  }

  #take({ partition, records, nextOffset, highWatermark, leaderEpoch }) {
    this.#positions.set(partition, {
      topic,
      partition,
      nextOffset,
      ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
    });
    this.#panel.behind(partition, highWatermark - nextOffset);
    this.#panel.records(records.map((record) => ({ partition, ...record })));
  }

  #refused(socket, { id, problem }) {
    this.#panel.note(`${problem.code}: ${problem.detail}`);
    if (id === "tail") socket.close(); // nothing will come of this subscription: begin again, later
  }
}

/** EventSource comes back by itself, and says with Last-Event-ID where it was; only what it gives up on is begun again here. */
class EventTail {
  #panel = new Panel("eventsource");
  #last = offset;
  #failures = 0;

  connect() {
    this.#panel.state("waiting", "connecting");
    const query = new URLSearchParams({ offset: this.#last, offsetReset: "earliest" });
    const source = new EventSource(`${broker}/v1/topics/${encodeURIComponent(topic)}/records?${query}`);
    source.onmessage = ({ data, lastEventId }) => {
      const page = JSON.parse(data);
      this.#last = lastEventId;
      this.#failures = 0;
      this.#panel.state("live", "live");
      if (page.caughtUp) this.#panel.behind("all", 0);
      this.#panel.records(page.records.map((record) => ({ partition: page.partition, ...record })));
    };
    source.addEventListener("problem", ({ data }) => {
      const { code, detail } = JSON.parse(data);
      this.#panel.note(`${code}: ${detail}`);
    });
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) {
        this.#panel.state("waiting", "reconnecting");
        return;
      }
      this.#failures += 1;
      const waitMs = Math.random() * Math.min(retryMsMax, 500 * 2 ** this.#failures);
      this.#panel.state("waiting", `again in ${(waitMs / 1_000).toFixed(1)} s`);
      setTimeout(() => this.connect(), waitMs);
    };
  }
}

document.title = `${topic} · Millrace`;
document.getElementById("topic").textContent = topic;
document.getElementById("broker").textContent = broker;
const sockets = new SocketTail();
sockets.connect();
new EventTail().connect();
document.getElementById("send").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = event.target.elements.value;
  if (sockets.send(input.value)) input.value = "";
});
