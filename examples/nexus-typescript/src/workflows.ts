import * as wf from "@temporalio/workflow";
import { everlink } from "./everlink";

export const reconnectUrl = wf.defineQuery<string | undefined>("reconnectUrl");

/** Waits until a connection works, and has a link for its customer meanwhile. What follows is yours. */
export async function untilConnected(connectionId: string): Promise<number | null> {
  const client = wf.createNexusServiceClient({ service: everlink, endpoint: "everlink" });
  const asked = { connection_id: connectionId };

  let link: string | undefined;
  wf.setHandler(reconnectUrl, () => link);

  let standing = await client.executeOperation(everlink.operations.getStatus, asked);
  if (standing.status === "reauth_required") {
    link = (await client.executeOperation(everlink.operations.startReconnect, asked)).connect_url;
    standing = await client.executeOperation(everlink.operations.awaitActive, asked, {
      summary: `until ${standing.application} is reconnected`,
    });
    link = undefined;
  }
  if (standing.status !== "active") {
    throw wf.ApplicationFailure.nonRetryable(`the connection is ${standing.status}`);
  }
  return standing.generation;
}
