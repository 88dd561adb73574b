/** What the processes of this benchmark tell each other. */

/** The same load for every server. */
export interface Shape {
  readonly subscribers: number
  /** Distinct ones among them. */
  readonly operations: number
  /** Operations that an event is for. */
  readonly matching: number
}

export interface Usage {
  readonly cpuMs: number
  readonly rss: number
  readonly rssAtStart: number
}

export interface Sent {
  readonly events: number
  /** How long it took to have them taken. */
  readonly ms: number
}

export interface Received {
  readonly deliveries: number
  /** Before the one before them, or again. */
  readonly disordered: number
  /** Without the field from the other subgraph. */
  readonly incomplete: number
  /** By event: from its moment to the last of this process's subscribers, ms. */
  readonly untilLast: ReadonlyMap<string, number>
  /** Milliseconds since 1970. */
  readonly firstAt: number
  readonly lastAt: number
}

export interface Resumed {
  readonly clients: number
  /** From the reconnecting of all until each has an event that was made after that. */
  readonly caughtUpMs: number
  readonly replayed: number
  readonly gaps: number
  readonly duplicates: number
}
