// Where Apache Kafka's own code comes from: jars fetched once by Maven as pom.xml names them, and the Java programs of
// this folder compiled against them. Both are kept outside the repository, under ~/.cache/millrace-interop.

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const javaDir = join(here, "java");
const cacheDir = process.env["MILLRACE_INTEROP_CACHE"] ?? join(homedir(), ".cache", "millrace-interop");
const outputBytesMax = 512 * 1024 * 1024;
const run = promisify(execFile);

const needed = {
  java: "a JDK, 17 or later (Debian: apt-get install openjdk-17-jdk-headless)",
  javac: "a JDK, 17 or later; a JRE has no javac (Debian: apt-get install openjdk-17-jdk-headless)",
  mvn: "Apache Maven (Debian: apt-get install maven)",
};

async function requireCommand(name) {
  try {
    await run(name, ["-version"]);
  } catch (cause) {
    throw new Error(`${name} does not run here. Kafka interop needs ${needed[name]}.`, { cause });
  }
}

/** Makes `folder` in one step, so that two runs at once do not see each other's halves. */
async function makeOnce(folder, fill) {
  if (existsSync(folder)) return;
  await mkdir(cacheDir, { recursive: true });
  const unfinished = await mkdtemp(join(cacheDir, "unfinished-"));
  try {
    await fill(unfinished);
    await rename(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

const digest = (texts) => createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 16);

async function prepare() {
  const pom = join(here, "pom.xml");
  const pomText = await readFile(pom, "utf8");
  const jars = join(cacheDir, `jars-${digest([pomText])}`);
  await requireCommand("java");
  await makeOnce(jars, async (unfinished) => {
    await requireCommand("mvn");
    const goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
    await run("mvn", ["-q", "-B", "-f", pom, goal, `-DoutputDirectory=${unfinished}`], { maxBuffer: outputBytesMax });
  });
  const sources = (await readdir(javaDir)).sort().map((name) => join(javaDir, name));
  const texts = await Promise.all(sources.map((path) => readFile(path, "utf8")));
  const classes = join(cacheDir, `classes-${digest([pomText, ...texts])}`);
  await makeOnce(classes, async (unfinished) => {
    await requireCommand("javac");
    await run("javac", ["-cp", join(jars, "*"), "-d", unfinished, ...sources]);
  });
  return `${classes}:${join(jars, "*")}`;
}

let prepared;

/** The class path of Kafka and of the programs in java/; fetches and compiles what is not there yet. */
export function kafkaClasspath() {
  prepared ??= prepare();
  return prepared;
}

/** Runs a main class to its end. Only the programs that start a broker should let Kafka log (to stderr). */
export async function runJava(mainClass, programArguments, logLevel = "off") {
  const classpath = await kafkaClasspath();
  // Short runs: C1 alone and a small heap start fastest.
  const options = [
    "-XX:TieredStopAtLevel=1",
    "-Xmx512m",
    "-Xshare:auto",
    `-Dorg.slf4j.simpleLogger.defaultLogLevel=${logLevel}`,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn("java", [...options, "-cp", classpath, mainClass, ...programArguments], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stdout = [];
    const stderr = [];
    child.stdout.on("data", (chunk) => stdout.push(chunk));
    child.stderr.on("data", (chunk) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (exitCode) =>
      resolve({ exitCode, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }),
    );
  });
}
