/** What the processes of this benchmark tell each other. */
export interface FromServer {
  readonly events: number
  readonly cpuMs: number
  readonly rss: number
  readonly rssAtStart: number
}

export interface FromClients {
  readonly deliveries: number
  /** Milliseconds from the event's time to its last subscriber. */
  readonly p50: number
  readonly p99: number
}

export interface Numbers {
  readonly server: string
  readonly events: number
  readonly deliveries: number
  readonly missing: number
  readonly eventToLastP50Ms: number
  readonly eventToLastP99Ms: number
  readonly cpuSeconds: number
  readonly deliveriesPerCpuSecond: number
  readonly bytesPerSubscriber: number
}
