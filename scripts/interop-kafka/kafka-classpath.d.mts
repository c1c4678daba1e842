/** Runs a main class of Kafka's, or of the programs in java/, to its end. */
export function runJava(
  mainClass: string,
  programArguments: readonly string[],
  logLevel?: string,
): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
