/**
 * What subscriptions have to send, gathered by connection: a connection is written to once for all that waits for it,
 * because the write is what a delivery costs. The connections take turns, and writing takes turns with everything else:
 * it goes on for as long as the rest of the process took since it last did. So with little to do everything is sent at
 * once; with much to do more gathers until a connection's turn comes, and one write carries more.
 */
import type { Writable } from 'node:stream'
import type { ExecutionResult } from 'graphql'
import type { ResultStream } from '../federation/event-stream.ts'

/** More than this, gathered or unsent, is waited for; what comes meanwhile waits in the reader's bounded queue. */
const BOUND_BYTES = 16_384
/** Up to this, pieces are copied into one; above, the socket is given them as they are. */
const COPY_BYTES = 65_536

export class Outbox {
  readonly #to: Writable
  readonly #isOpen: () => boolean
  #pieces: Buffer[] = []
  #bytes = 0
  #isFull = false
  #afterwards: (() => void)[] = []

  /** @param isOpen Whether anything may still be sent; what waits is dropped otherwise. */
  constructor(to: Writable, isOpen: () => boolean) {
    this.#to = to
    this.#isOpen = isOpen
  }

  /**
   * @param pieces Whole messages.
   * @returns Whether there is room for more; where there is not, ask to be called `afterwards`.
   */
  add(...pieces: readonly Buffer[]): boolean {
    if (this.#bytes === 0) takeTurn(this)
    for (const piece of pieces) {
      this.#pieces.push(piece)
      this.#bytes += piece.length
    }
    return this.#bytes <= BOUND_BYTES
  }

  /** Calls when all that was added until now is given to the socket, or the socket is gone. */
  afterwards(call: () => void): void {
    if (this.#bytes === 0) call()
    else this.#afterwards.push(call)
  }

  /** The same as a promise. */
  emptied(): Promise<void> {
    return new Promise((resolve) => this.afterwards(resolve))
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  /** For the turns, and for the end of a connection: nobody is left to be waited for then. */
  write(): void {
    if (this.#isOpen()) {
      // Its turn comes again when the socket has sent what it holds.
      if (this.#isFull) return
      this.#isFull = this.#to.writableLength > BOUND_BYTES
      const sent = this.#isFull ? this.#sent : undefined
      if (this.#bytes <= COPY_BYTES) this.#to.write(joined(this.#pieces, this.#bytes), sent)
      else {
        this.#to.cork()
        const last = this.#pieces.length - 1
        for (const [at, piece] of this.#pieces.entries())
          this.#to.write(piece, at === last ? sent : undefined)
        this.#to.uncork()
      }
    }
    this.#pieces = []
    this.#bytes = 0
    for (const call of this.#afterwards.splice(0)) call()
  }

  readonly #sent = () => {
    this.#isFull = false
    if (this.#bytes > 0) takeTurn(this)
  }
}

function joined(pieces: readonly Buffer[], bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** Of writing without a pause, at least and at most: for less it is not worth beginning, for longer others wait. */
const SLICE_MS = { least: 2, most: 50 }

/** In the order in which they came. */
const turns = new Set<Outbox>()
let isRunning = false
let lastEnd = 0

function takeTurn(outbox: Outbox): void {
  turns.add(outbox)
  if (isRunning) return
  isRunning = true
  setImmediate(run)
}

function run(): void {
  const began = performance.now()
  const until = began + Math.min(SLICE_MS.most, Math.max(SLICE_MS.least, began - lastEnd))
  for (const outbox of turns) {
    turns.delete(outbox)
    outbox.write()
    if (performance.now() > until) break
  }
  lastEnd = performance.now()
  isRunning = turns.size > 0
  if (isRunning) setImmediate(run)
}

/**
 * Sends what a stream brings, as fast as its reader reads: meanwhile it waits in the stream's own bounded queue.
 * @param frame Makes a message, in pieces, around a text that others share.
 * @returns When all of it is given to the socket, or the socket is gone.
 */
export async function sendAll(
  results: ResultStream,
  outbox: Outbox,
  frame: (text: Buffer) => readonly Buffer[],
): Promise<void> {
  await new Promise<void>((resolve) => {
    const more = results.readBy({
      take(result) {
        const hasRoom = outbox.add(...frame(textOf(result)))
        if (!hasRoom) outbox.afterwards(() => more())
        return hasRoom
      },
      end: resolve,
    })
  })
  await outbox.emptied()
}

const texts = new WeakMap<ExecutionResult, Buffer>()

/** JSON in UTF-8, made once for all who share the result. */
export function textOf(result: ExecutionResult): Buffer {
  const known = texts.get(result)
  if (known) return known
  const text = Buffer.from(JSON.stringify(result))
  texts.set(result, text)
  return text
}
