// Types of everlink.js. Put this file among your own, or load the script from a file that names it:
// /// <reference path="everlink.d.ts" />

/** Connects and reconnects the accounts of one of your customers, by a session token of theirs. */
declare class Everlink {
  static readonly version: string;

  constructor(options: Everlink.Options);

  /** The applications, with what is connected and what has to be reconnected. */
  getApps(): Promise<Everlink.Application[]>;
  getApp(slug: string): Promise<Everlink.Application>;

  /**
   * Connects or reconnects. Call it in the click itself, before any `await`: only then may a window open.
   * While the window of an application is open, a second call shows it, and answers what the first does.
   *
   * @param fields what the application asks (its `auth_input_map`): before consent, or its key
   * @throws {EverlinkError} `code` says why nothing was connected
   * @throws {DOMException} the signal was aborted: its reason
   */
  connect(slug: string, fields?: Record<string, string>, options?: Everlink.ConnectOptions): Promise<Everlink.Connected>;

  /** Disconnects every account of the application. */
  disconnect(slug: string): Promise<void>;

  /** Calls the listener at every such event, until what is answered is called. */
  on<Name extends keyof Everlink.Events>(
    event: Name,
    listener: (detail: Everlink.Events[Name]) => void,
  ): () => void;
}

declare namespace Everlink {
  interface Options {
    /** A session token, which your server gets for the customer who is signed in. */
    token: string;
    /** By default where the script came from. */
    baseUrl?: string;
    /** With it, the session token is renewed when it has ended. It is good once: see the event `tokens`. */
    refreshToken?: string;
  }

  interface ConnectOptions {
    /** Gives up, and closes the window. */
    signal?: AbortSignal;
    /** Milliseconds; ten minutes by default. */
    timeout?: number;
    /**
     * The connection to mend. By default the one that has to be reconnected, if it is the application's only one; of
     * one that connects by a key, the one of the account that the key opens.
     */
    connectionId?: string;
  }

  interface Connected {
    application: string;
    /** The same after a reconnect as before. */
    connectionId: string;
  }

  interface Tokens {
    token: string;
    refreshToken: string;
    /** Seconds. */
    expiresIn: number;
  }

  interface Events {
    /** Also where connect() has given up on a window which the customer then finished in after all. */
    connected: Connected;
    disconnected: { application: string };
    /** What connect() failed with, unless its signal was aborted. */
    error: EverlinkError;
    /** The session token was renewed: these take the place of the former. */
    tokens: Tokens;
  }

  /** An application as the customer sees it. */
  interface Application {
    /** null: your organization has removed it. */
    app_id: string | null;
    name: string;
    description: string;
    icon: string;
    slug: string;
    type: string;
    tags: string[];
    ecosystem: string | null;
    auth_type: "oauth2" | "keybased";
    auth_type_options: Record<string, Field[]>;
    /** What connect() is to be given as `fields`. */
    auth_input_map: Field[];
    version: { _v: string; description: string };
    connected: boolean;
    connected_accounts: Account[];
    reauth_required: boolean;
  }

  interface Account {
    identifier: string;
    connectedAt: string;
    status: "active" | "expired";
    auth_type: string;
    connection_id: string;
  }

  interface Field {
    name: string;
    label: string;
    placeholder: string;
    required: boolean;
    type: string;
    options: string[];
    multiple: boolean;
    help_text: string;
  }

  /** Codes of the browser's side. The others are the API's. */
  type BrowserCode = "network_error" | "popup_blocked" | "timeout" | "unexpected_answer" | "window_closed";
  /** Why a customer who was at the provider is not connected, as far as they or you can do something about it. */
  type AttemptCode =
    | "access_denied"
    | "account_already_connected"
    | "approval_needed"
    | "different_account"
    | "link_expired"
    | "provider_failed"
    | "provider_unavailable"
    | "provider_unreachable"
    | "scopes_missing";
}

/**
 * `<everlink-connect session="...">`: the page of a connect session in a frame, which is as high as what it shows.
 * `session` is what `POST /v1/connect-sessions` answered. What is written inside is shown where the frame does not load.
 */
interface EverlinkConnectElement extends HTMLElement {
  addEventListener<Name extends keyof EverlinkConnect.Events>(
    type: Name,
    listener: (this: EverlinkConnectElement, event: CustomEvent<EverlinkConnect.Events[Name]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

declare namespace EverlinkConnect {
  interface Events {
    connected: { application: string; connection_id: string };
    /** The customer is done. */
    closed: Record<string, never>;
    error: Failure;
  }

  interface Failure {
    /** null: of the frame as a whole. */
    application: string | null;
    /** Besides those of `Everlink`: `frame_timeout`, and what befalls a link (`session_expired`, ...). */
    error_code: string;
    /** For the customer. */
    message: string;
  }
}

interface HTMLElementTagNameMap {
  "everlink-connect": EverlinkConnectElement;
}

declare class EverlinkError extends Error {
  /** Stable. Besides those that are named here, any `error_code` of the API. */
  readonly code: Everlink.BrowserCode | Everlink.AttemptCode | (string & {});
  /** Of the HTTP answer, where it was one. */
  readonly status?: number;
  /** By which the service's log knows the request. */
  readonly requestId?: string;
  /** That connect() was called for. */
  readonly application?: string;
  /** Names of the fields that are missing, unknown or refused: `invalid_fields`, `credentials_refused`. */
  readonly fields?: string[];
  readonly missing?: string[];
  readonly unknown?: string[];
  readonly wrong?: string[];
  /** Why the provider refuses what was typed in: `credentials_refused`. */
  readonly reason?: string | null;
  /** Where a request is not valid: `invalid_request`. */
  readonly details?: { loc: (string | number)[]; type: string; msg: string }[];
  /** Seconds. */
  readonly retryAfter?: number;
  /** Whether the same call may well succeed in a moment. */
  readonly passes: boolean;
}
