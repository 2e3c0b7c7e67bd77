import { NativeConnection, Worker } from "@temporalio/worker";

async function main(): Promise<void> {
  const connection = await NativeConnection.connect({ address: process.env["TEMPORAL_ADDRESS"] ?? "localhost:7233" });
  const worker = await Worker.create({
    connection,
    namespace: process.env["TEMPORAL_NAMESPACE"] ?? "default",
    taskQueue: "nexus-typescript",
    workflowsPath: require.resolve("./workflows"),
  });
  try {
    await worker.run();
  } finally {
    await connection.close();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
