// Everlink's Nexus service, as a caller needs it.

import * as nexus from "nexus-rpc";

export interface ConnectionAsked {
  connection_id: string;
}

export interface ConnectionStanding {
  connection_id: string;
  application: string;
  status: "pending" | "active" | "reauth_required" | "disconnected";
  health: "ok" | "degraded";
  reason: string | null;
  generation: number | null;
  since: string | null;
}

export interface ReconnectOffer {
  connect_url: string;
  expires_at: string;
}

export const everlink = nexus.service("Everlink", {
  // Answers when the connection is active, or ends: however long that takes.
  awaitActive: nexus.operation<ConnectionAsked, ConnectionStanding>({ name: "await_active" }),
  getStatus: nexus.operation<ConnectionAsked, ConnectionStanding>({ name: "get_status" }),
  // The provider answered 401 to a credential of this generation.
  reportRejected: nexus.operation<ConnectionAsked & { generation: number }, void>({ name: "report_rejected" }),
  startReconnect: nexus.operation<ConnectionAsked, ReconnectOffer>({ name: "start_reconnect" }),
});
