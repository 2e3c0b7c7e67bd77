import { Client, Connection } from "@temporalio/client";
import { untilConnected } from "./workflows";

async function main(): Promise<void> {
  const connectionId = process.argv[2];
  if (connectionId === undefined) {
    throw new Error("usage: npm start -- CONNECTION_ID");
  }
  const connection = await Connection.connect({ address: process.env["TEMPORAL_ADDRESS"] ?? "localhost:7233" });
  try {
    const client = new Client({ connection, namespace: process.env["TEMPORAL_NAMESPACE"] ?? "default" });
    const handle = await client.workflow.start(untilConnected, {
      args: [connectionId],
      taskQueue: "nexus-typescript",
      workflowId: `until-connected-${connectionId}`,
    });
    console.log(`started ${handle.workflowId}`);
    console.log(`active, with generation ${await handle.result()} of its credential`);
  } finally {
    await connection.close();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
