/**
 * One upstream subscription, evaluated once per event, for everyone who asked the same with the same rights.
 *
 * Events are evaluated as they come, a few at a time, and handed out in their order. Everyone has a queue of their
 * own with a bound: who does not keep up is cut off and told so, and nobody else notices.
 */
import { type ExecutionResult, GraphQLError } from 'graphql'

/** What one event became. */
export interface EvaluatedEvent {
  readonly result: ExecutionResult
  /** Names the event in the source's log, where it has such a name. */
  readonly cursor: string | undefined
}

export type Evaluate<TEvent> = (event: TEvent) => Promise<EvaluatedEvent>

/** How long a replay remembers what it has told, for those who ask for the same: it tells things as they were then. */
const rememberMs = 5_000

/** More than this many evaluations of one stream at a time would only queue up in the subgraphs. */
const maxEvaluations = 8

export class EventStream<TEvent> {
  #source: AsyncIterator<TEvent>
  #evaluate: Evaluate<TEvent>
  readonly #describeFailure: (error: unknown) => ExecutionResult
  readonly #ending = Promise.withResolvers<void>()
  readonly #members = new Set<Member>()
  /** All that it has told so far, as long as others may still want to begin with that. */
  #told: EvaluatedEvent[] | undefined
  readonly #since = performance.now()
  readonly #remembered: number
  #ended = false

  /**
   * @param describeFailure The last result when the source is lost.
   * @param remember Events from its beginning that are told to those who join a little later: of a replay.
   */
  constructor(
    source: AsyncIterator<TEvent>,
    evaluate: Evaluate<TEvent>,
    describeFailure: (error: unknown) => ExecutionResult,
    remember = 0,
  ) {
    this.#remembered = remember
    if (remember > 0) this.#told = []
    this.#source = source
    this.#evaluate = evaluate
    this.#describeFailure = describeFailure
    void this.#pump(source)
  }

  get ended(): boolean {
    return this.#ended
  }

  /** The source ended, or everyone has left. */
  get whenEnded(): Promise<void> {
    return this.#ending.promise
  }

  /** Whether who joins now gets all that it began with. */
  get isWhole(): boolean {
    return !this.#ended && this.#told !== undefined && performance.now() - this.#since < rememberMs
  }

  /** @param listener Gets every event from now on; of a replay, first what it has told already. */
  join(listener: Member): () => void {
    for (const event of this.#told ?? []) listener.take(event)
    this.#members.add(listener)
    return () => {
      this.#members.delete(listener)
      if (this.#members.size === 0) this.#end()
    }
  }

  /** Later events are evaluated in another way: the supergraph has changed. */
  evaluateBy(evaluate: Evaluate<TEvent>): void {
    this.#evaluate = evaluate
  }

  /** Goes on with another source; events of the old one that have not come yet are dropped. */
  continueWith(source: AsyncIterator<TEvent>, evaluate: Evaluate<TEvent>): void {
    const old = this.#source
    this.#source = source
    this.#evaluate = evaluate
    void old.return?.()
    void this.#pump(source)
  }

  /** Tells everyone a last thing and ends. */
  finish(last?: ExecutionResult): void {
    if (this.#ended) return
    if (last) for (const member of this.#members) member.take({ result: last, cursor: undefined })
    this.#end()
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    void this.#source.return?.()
    for (const member of this.#members) member.end()
    this.#members.clear()
    this.#ending.resolve()
  }

  #remember(event: EvaluatedEvent): void {
    if (this.#told && this.#told.length < this.#remembered && this.isWhole) this.#told.push(event)
    else this.#told = undefined
  }

  async #pump(source: AsyncIterator<TEvent>): Promise<void> {
    let last: Promise<unknown> = Promise.resolve()
    let running = 0
    let resume: (() => void) | undefined
    const isCurrent = (): boolean => !this.#ended && this.#source === source
    try {
      while (isCurrent()) {
        const { done, value } = await source.next()
        if (done) break
        if (!isCurrent()) return
        running++
        const evaluated = this.#evaluate(value)
        last = Promise.all([evaluated, last]).then(([event]) => {
          running--
          resume?.()
          if (this.#ended) return
          if (this.#told) this.#remember(event)
          for (const member of this.#members) member.take(event)
        })
        // Without a handler of its own a failure would be "unhandled" while the next event is awaited.
        last.catch(() => {})
        if (running >= maxEvaluations) {
          await new Promise<void>((resolve) => {
            resume = resolve
          })
        }
      }
      await last
      if (isCurrent()) this.#end()
    } catch (error) {
      await last.catch(() => {})
      if (isCurrent()) this.finish(this.#describeFailure(error))
    }
  }
}

/** Someone who gets the events of a stream. */
export interface Member {
  take(event: EvaluatedEvent): void
  end(): void
}

/** The results of a subscription, for one who either asks for each or is called with each. */
export interface ResultStream extends AsyncIterableIterator<ExecutionResult> {
  /**
   * Calls `reader` from now on, and with what waits already; nobody may ask with `next` after that. For one that is
   * asked for thousands of times a second promises cost more than what they bring.
   * @returns To be called when a reader that had enough has room again.
   */
  readBy(reader: Reader): () => void
}

export interface Reader {
  /** @returns False where it wants no more until it says so; what it was given is its own. */
  take(result: ExecutionResult): boolean
  /** Nothing comes after this. Called once. */
  end(): void
}

/** A bounded queue before a reader; leaves its stream when the reader goes. */
export class Subscriber implements Member, ResultStream {
  readonly #limit: number
  readonly #queue: ExecutionResult[] = []
  readonly #waiting: ((result: IteratorResult<ExecutionResult>) => void)[] = []
  #reader: Reader | undefined
  #readerHasRoom = false
  #over = false
  #leave: () => void = () => {}

  /** @param limit Results that may wait for the reader. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** What to do when the reader goes; replaces what was to be done before. */
  onLeave(leave: () => void): void {
    if (this.#over) leave()
    else this.#leave = leave
  }

  get over(): boolean {
    return this.#over
  }

  take({ result }: EvaluatedEvent): void {
    if (this.#over) return
    const waiting = this.#waiting.shift()
    if (waiting) waiting({ done: false, value: result })
    else if (this.#readerHasRoom && this.#reader) this.#readerHasRoom = this.#reader.take(result)
    else if (this.#queue.length < this.#limit) this.#queue.push(result)
    else {
      // What waits stays readable: the last cursor in it is where to resume.
      this.#queue.push({
        errors: [
          new GraphQLError('The subscription was ended, as its reader is too slow.', {
            extensions: { code: 'SUBSCRIBER_TOO_SLOW' },
          }),
        ],
      })
      this.#finish()
    }
  }

  end(): void {
    if (!this.#over) this.#finish()
  }

  #finish(): void {
    this.#over = true
    for (const waiting of this.#waiting.splice(0)) waiting(finished)
    this.#leave()
    this.#endReader()
  }

  readBy(reader: Reader): () => void {
    this.#reader = reader
    const more = () => {
      this.#readerHasRoom = true
      while (this.#readerHasRoom) {
        const result = this.#queue.shift()
        if (!result) break
        this.#readerHasRoom = reader.take(result)
      }
      this.#endReader()
    }
    more()
    return more
  }

  #endReader(): void {
    if (!this.#over || this.#queue.length > 0) return
    this.#reader?.end()
    this.#reader = undefined
  }

  async next(): Promise<IteratorResult<ExecutionResult>> {
    const result = this.#queue.shift()
    if (result) return { done: false, value: result }
    if (this.#over) return finished
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async return(): Promise<IteratorResult<ExecutionResult>> {
    this.#queue.length = 0
    this.end()
    this.#endReader()
    return finished
  }

  async throw(error: unknown): Promise<IteratorResult<ExecutionResult>> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

const finished: IteratorReturnResult<undefined> = { done: true, value: undefined }

/** Events of the shared stream kept while a replay catches up; the replay brings older ones itself. */
const maxOverlap = 1000

/**
 * A replay, joined with the stream that those share who are up to date: its events are handed on until the
 * shared stream has brought the last of them too. From there on the reader follows the shared stream, and nothing
 * is lost or told twice.
 */
export class Replay {
  readonly #reader: Subscriber
  #overlap: EvaluatedEvent[] = []
  #last: string | undefined
  #joined = false
  #leaveReplay: () => void = () => {}
  readonly #leaveShared: () => void

  constructor(
    reader: Subscriber,
    replay: { join(member: Member): () => void },
    shared: { join(member: Member): () => void },
  ) {
    this.#reader = reader
    this.#leaveShared = shared.join({
      take: (event) => this.#takeShared(event),
      end: () => reader.end(),
    })
    this.#leaveReplay = replay.join({
      take: (event) => this.#takeReplayed(event),
      end: () => {
        if (!this.#joined) reader.end()
      },
    })
    if (this.#joined) this.#leaveReplay()
    else {
      reader.onLeave(() => {
        this.#leaveReplay()
        this.#leaveShared()
      })
    }
  }

  #takeReplayed(event: EvaluatedEvent): void {
    if (this.#joined) return
    this.#reader.take(event)
    if (event.cursor === undefined) return
    this.#last = event.cursor
    const met = this.#overlap.findIndex(({ cursor }) => cursor === event.cursor)
    if (met !== -1) this.#join(this.#overlap.slice(met + 1))
  }

  #takeShared(event: EvaluatedEvent): void {
    if (this.#joined) this.#reader.take(event)
    else if (event.cursor !== undefined && event.cursor === this.#last) this.#join([])
    else {
      this.#overlap.push(event)
      if (this.#overlap.length > maxOverlap) this.#overlap.shift()
    }
  }

  #join(rest: readonly EvaluatedEvent[]): void {
    this.#joined = true
    this.#overlap = []
    this.#leaveReplay()
    this.#reader.onLeave(this.#leaveShared)
    for (const event of rest) this.#reader.take(event)
  }
}
