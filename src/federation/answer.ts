/** An answer whose data is text already. */
import type { FormattedExecutionResult } from 'graphql'

const BEFORE = '{"data":'

/**
 * Data as JSON text, in bytes. Stands in for the object where the host will only make text of it again;
 * `JSON.stringify` gives the same as ever, `answerBytes` and `stringifyAnswer` give it without the detour.
 */
export class DataText {
  // With room around the data for an answer without errors, so that a large one need not be copied again.
  #room: Buffer
  readonly #end: number
  #taken = false

  /** @param text Bytes are copied. */
  constructor(text: string | Buffer) {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    this.#end = BEFORE.length + bytes.length
    this.#room = Buffer.allocUnsafe(this.#end + 300)
    this.#room.write(BEFORE)
    this.#room.set(bytes, BEFORE.length)
  }

  get bytes(): Buffer {
    return this.#room.subarray(BEFORE.length, this.#end)
  }

  /** The data as an answer, ended by text. */
  answer(after: string): Buffer {
    const most = this.#end + after.length * 3
    if (most > this.#room.length || this.#taken) {
      const room = Buffer.allocUnsafe(most)
      room.set(this.#room.subarray(0, this.#end))
      this.#room = room
    }
    this.#taken = true
    return this.#room.subarray(0, this.#end + this.#room.write(after, this.#end))
  }

  toJSON(): unknown {
    return JSON.parse(this.bytes.toString())
  }
}

type Answer = Pick<FormattedExecutionResult, 'data' | 'errors' | 'extensions'>

/** For Apollo Server's `stringifyResult`, and wherever else an answer becomes text. */
export function stringifyAnswer(result: Answer): string {
  return result.data instanceof DataText ? answerBytes(result).toString() : JSON.stringify(result)
}

/** For hosts that write bytes. */
export function answerBytes(result: Answer): Buffer {
  const { data, errors, ...rest } = result
  if (!(data instanceof DataText)) return Buffer.from(JSON.stringify(result))
  const more = JSON.stringify(rest)
  const after = more === '{}' ? more.slice(1) : `,${more.slice(1)}`
  if (!errors) return data.answer(after)
  return Buffer.concat([
    Buffer.from(`{"errors":${JSON.stringify(errors)},"data":`),
    data.bytes,
    Buffer.from(after),
  ])
}
