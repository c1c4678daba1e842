// The broker's log: one line of JSON per event on standard output. Nobody hands it a record's key or value; what a header or a
// setting could carry of secrets is cut out all the same.

import { type DestinationStream, type Logger as PinoLogger, pino } from "pino";

const secrets = new Set(["authorization", "cookie", "set-cookie", "password", "secret", "token"]);
/** {request: {headers: {…}}}, and no deeper. */
const depthMax = 3;

export function createLogger(level: string, destination: DestinationStream = pino.destination(1)): PinoLogger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => withoutSecrets(fields, depthMax),
    },
  };
  return pino(options, destination);
}

/** pino's own `redact` throws when a field is a Buffer; a log must take whatever it is given. */
function withoutSecrets(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  const shown = Object.entries(fields).map(([name, value]) => {
    if (secrets.has(name.toLowerCase())) return [name, "[hidden]"];
    return [name, depth > 1 && isPlain(value) ? withoutSecrets(value, depth - 1) : value];
  });
  return Object.fromEntries(shown);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
