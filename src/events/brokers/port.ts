/** What feeds and sinks need of a broker, whichever it is: a durable consumer, and a publisher that is answered. */
export interface Broker {
  /**
   * Gives each message of the topic to `handle` until the signal ends it, up to `CONCURRENT` at once, and tells the
   * broker the verdict. A message without a verdict comes again.
   * @returns When those under way are over. Rejects where it cannot go on: to be called again, after a while.
   */
  consume(source: Source, handle: (message: Message) => Promise<Verdict>, signal: AbortSignal): Promise<void>
  /**
   * Answers when the broker has it safe. Rejects where that is not known: it may be there all the same, and sending
   * it again may store it twice. The order of calls is not kept: who needs an order waits for each answer.
   */
  publish(message: Outgoing): Promise<void>
  close(): Promise<void>
}

export interface Source {
  readonly topic: string
  readonly group: string
  /** Called when messages can arrive. */
  readonly onReady: () => void
}

export interface Message {
  /** The broker's own name of it, the same each time it comes. */
  readonly id: string
  readonly body: Buffer
  /** Headers or properties; lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** When it was published. */
  readonly at: Date
  /** How often it came, this time included. */
  readonly deliveries: number
}

/** `taken`: it is safe here, and need not come again. */
export type Verdict = { readonly taken: true } | { readonly taken: false; readonly againMs: number }

export interface Outgoing {
  readonly topic: string
  /** The event's type: subjects and tags are made of it, so that consumers can choose. */
  readonly type: string
  /** What has the same key stays in order. */
  readonly key: string
  /** The same in every attempt. */
  readonly id: string
  readonly body: Buffer
}

/** Messages in hand of one feed. */
export const CONCURRENT = 64
