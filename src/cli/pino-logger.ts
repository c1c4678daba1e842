// The broker's log: one line of JSON per event on standard output. Nobody hands it a record's key or value; what a header or a
// setting could carry of secrets is cut out all the same.

import { type Logger as PinoLogger, pino } from "pino";

const secrets = ["authorization", "cookie", "password", "secret", "token"];

export function createLogger(level: string): PinoLogger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: [...secrets, ...secrets.map((name) => `*.${name}`), ...secrets.map((name) => `*.*.${name}`)] },
  });
}
