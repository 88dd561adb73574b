import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Outbox } from '../../src/gateway/outbox.ts'

/** Takes each write when it is let. */
function connection() {
  const writes: string[] = []
  let letNext = () => {}
  let isSlow = false
  const to = new Writable({
    write(chunk: Buffer, _encoding, done) {
      writes.push(String(chunk))
      if (isSlow) letNext = done
      else done()
    },
  })
  return {
    to,
    writes,
    set isSlow(slow: boolean) {
      isSlow = slow
    },
    go: () => letNext(),
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const piece = (text: string) => Buffer.from(text)

describe('an outbox', () => {
  it('writes once what was added in one turn, each connection its own', async () => {
    const [one, other] = [connection(), connection()]
    const [mine, theirs] = [new Outbox(one.to, () => true), new Outbox(other.to, () => true)]
    for (let at = 0; at < 5; at++) {
      mine.add(piece(`(${at}`), piece(')'))
      theirs.add(piece(`[${at}]`))
    }
    expect(one.writes).toEqual([])
    await expect.poll(() => one.writes).toEqual(['(0)(1)(2)(3)(4)'])
    expect(other.writes).toEqual(['[0][1][2][3][4]'])
  })

  it('says that it has no room, and when it has room again', async () => {
    const one = connection()
    one.isSlow = true
    const outbox = new Outbox(one.to, () => true)
    expect(outbox.add(piece('a'.repeat(10_000)))).toBe(true)
    expect(outbox.add(piece('b'.repeat(10_000)))).toBe(false)
    let hasRoom = 0
    outbox.afterwards(() => hasRoom++)
    await expect.poll(() => hasRoom).toBe(1)
    // The connection holds these now; the next are taken too, and what comes after them has to wait for it.
    outbox.add(piece('c'))
    await turn()
    expect(outbox.add(piece('d'.repeat(20_000)))).toBe(false)
    outbox.afterwards(() => hasRoom++)
    for (let at = 0; at < 10; at++) await turn()
    expect(hasRoom).toBe(1)
    one.isSlow = false
    one.go()
    await expect.poll(() => hasRoom).toBe(2)
    await expect
      .poll(() => one.writes.join(''))
      .toBe(`${'a'.repeat(10_000)}${'b'.repeat(10_000)}c${'d'.repeat(20_000)}`)
  })

  it('gives large messages on as they are', async () => {
    const one = connection()
    const outbox = new Outbox(one.to, () => true)
    const large = piece('x'.repeat(100_000))
    outbox.add(piece('<'), large, piece('>'))
    await expect.poll(() => one.writes.length).toBe(3)
    expect(one.writes.join('')).toBe(`<${'x'.repeat(100_000)}>`)
  })

  it('drops what a connection that is over would have got, and keeps nobody waiting', async () => {
    const one = connection()
    const outbox = new Outbox(one.to, () => false)
    outbox.add(piece('late'))
    await new Promise<void>((resolve) => outbox.afterwards(resolve))
    expect(one.writes).toEqual([])
  })
})
