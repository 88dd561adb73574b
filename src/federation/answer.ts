/** An answer whose data is text already. */
import type { FormattedExecutionResult } from 'graphql'

const BEFORE = '{"data":'
/** Where in a room the data begins. */
export const dataStart = BEFORE.length

/** Data as it was written, with room before and after it for an answer around it. */
export interface Written {
  readonly room: Buffer
  readonly end: number
}

const roomBytes = 256 * 1024
/** Rooms that nobody reads any more: memory that is new for every answer costs more than writing it. */
const rooms: Buffer[] = []
const maxRooms = 64

export function takeRoom(): Buffer {
  return rooms.pop() ?? Buffer.allocUnsafeSlow(roomBytes)
}

/**
 * Data as JSON text, in bytes. Stands in for the object where the host will only make text of it again;
 * `JSON.stringify` gives the same as ever, `answerBytes` and `stringifyAnswer` give it without the detour.
 */
export class DataText {
  #room: Buffer
  readonly #end: number
  #taken = false

  /** @param text What was written is taken over. */
  constructor(text: string | Written) {
    if (typeof text === 'string') {
      this.#end = dataStart + Buffer.byteLength(text)
      this.#room = Buffer.allocUnsafe(this.#end)
      this.#room.write(text, dataStart)
    } else {
      this.#end = text.end
      this.#room = text.room
    }
    this.#room.write(BEFORE, 'latin1')
  }

  get bytes(): Buffer {
    return this.#room.subarray(dataStart, this.#end)
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

  /** Its memory will be another answer's: nobody may read bytes of this one any more. */
  release(): void {
    const room = this.#room
    this.#room = released
    if (room.length === roomBytes && rooms.length < maxRooms) rooms.push(room)
  }

  toJSON(): unknown {
    return JSON.parse(this.bytes.toString())
  }
}

const released = Buffer.alloc(0)

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

/** For hosts that know when the bytes of an answer have left: until then, and only until then, they are good. */
export function releaseAnswer({ data }: Answer): void {
  if (data instanceof DataText) data.release()
}
