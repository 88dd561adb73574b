/** 快递100's traces as shipments. Pure. */
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { joinKey, type Key, type Shipment, type ShipmentEvent, type ShipmentStatus } from '../records.ts'

/**
 * What its states mean: those of the parcel, and the finer ones that `resultv2=4` adds.
 * @see https://api.kuaidi100.com/document (state, 高级物流状态)
 */
const STATES: Readonly<Record<string, ShipmentStatus>> = {
  0: 'IN_TRANSIT',
  1: 'PICKED_UP',
  2: 'EXCEPTION',
  3: 'DELIVERED',
  4: 'RETURNED',
  5: 'OUT_FOR_DELIVERY',
  6: 'RETURNING',
  // Handed over to another carrier.
  7: 'IN_TRANSIT',
  8: 'CUSTOMS',
  10: 'CUSTOMS',
  11: 'CUSTOMS',
  12: 'CUSTOMS',
  13: 'EXCEPTION',
  // Refused by the recipient.
  14: 'EXCEPTION',
  101: 'CREATED',
  102: 'CREATED',
  103: 'PICKED_UP',
  1001: 'IN_TRANSIT',
  1002: 'IN_TRANSIT',
  1003: 'IN_TRANSIT',
  // In a locker or a shop, waiting for the recipient.
  501: 'OUT_FOR_DELIVERY',
  301: 'DELIVERED',
  302: 'DELIVERED',
  303: 'DELIVERED',
  304: 'DELIVERED',
  401: 'CANCELLED',
  ...Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [String(201 + index), 'EXCEPTION' as const]),
  ),
}

/** The states of single scans as the vendor words them, where it gives no code. */
const WORDS: Readonly<Record<string, string>> = {
  在途: '0',
  揽收: '1',
  疑难: '2',
  签收: '3',
  退签: '4',
  派件: '5',
  退回: '6',
  转投: '7',
  清关: '8',
  待清关: '10',
  清关中: '11',
  已清关: '12',
  清关异常: '13',
  拒签: '14',
}

const optionalText = z
  .string()
  .nullish()
  .transform((given) => (given == null || given.trim() === '' ? null : given))

const scan = z.object({
  time: optionalText,
  ftime: optionalText,
  context: z
    .string()
    .nullish()
    .transform((given) => given ?? ''),
  areaName: optionalText,
  status: optionalText,
  statusCode: optionalText,
})
const place = z
  .object({ name: optionalText })
  .nullish()
  .catch(null)
  .transform((given) => given?.name ?? null)
const trace = z.object({
  com: z.string().min(1),
  nu: z.string().min(1),
  state: optionalText,
  data: z
    .array(scan)
    .nullish()
    .transform((given) => given ?? []),
  routeInfo: z.object({ to: place }).nullish(),
  arrivalTime: optionalText,
})

const push = z.object({
  status: z.string(),
  message: optionalText,
  autoCheck: optionalText,
  comOld: optionalText,
  comNew: optionalText,
  lastResult: z.unknown(),
})
export type Push = z.infer<typeof push>

/** The part of a push that tells how the watching goes, its trace unread. */
export const readPush = (raw: unknown): Push | null => push.safeParse(raw).data ?? null

/** Which parcel a trace is about, whatever else may be wrong with it. */
export function parcelOf(raw: unknown): Key | null {
  const named = z.object({ com: z.string().min(1), nu: z.string().min(1) }).safeParse(raw)
  return named.success ? parcelKey(named.data.com, named.data.nu) : null
}

/**
 * A code that is newer than the table means what the word beside it does, or the state that it refines: three digits
 * begin with that of their state.
 */
function meaningOf(code: string, word: string | null = null): ShipmentStatus {
  const coarse = word !== null && Object.hasOwn(WORDS, word) ? WORDS[word] : undefined
  const parent = /^([1-7])\d\d$/.exec(code)?.[1]
  const known = [code, coarse, parent].find((one) => one !== undefined && Object.hasOwn(STATES, one))
  return (known !== undefined && STATES[known]) || 'UNKNOWN'
}

export const parcelKey = (carrier: string, number: string): Key => joinKey([carrier, number])

export interface Mapping {
  shipment(raw: unknown): Outcome<Shipment>
  /** What is known of a parcel that is followed and has not been scanned yet. */
  followed(carrier: string, number: string): Shipment
}

export function createMapping(clock: Clock, nameOf: (carrier: string) => string | null): Mapping {
  const timeOf = (one: z.infer<typeof scan>): string | null => {
    for (const given of [one.ftime, one.time]) {
      const found = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(:\d{2})?)(\.\d+)?$/.exec(given?.trim() ?? '')
      if (found) return clock.dateTime(`${found[1]}T${found[2]}${found[3] ? '' : ':00'}`)
    }
    return null
  }

  return {
    shipment(raw) {
      const read = trace.safeParse(raw)
      if (!read.success) {
        const issue = read.error.issues[0]
        return unreadable(`${issue?.path.join('.')}: ${issue?.message}`)
      }
      const { com, nu, state, data, routeInfo, arrivalTime } = read.data
      const events: ShipmentEvent[] = []
      for (const one of data) {
        const time = timeOf(one)
        if (time === null) return unreadable(`a scan at "${(one.ftime ?? one.time ?? '').slice(0, 40)}"`)
        const code = one.statusCode ?? one.status
        events.push({
          time,
          place: one.areaName,
          text: one.context,
          status: code === null ? null : meaningOf(code, one.status),
          vendorStatus: one.statusCode ?? one.status,
        })
      }
      // Pushes come newest first whatever one asks for.
      if (Date.parse(events[0]?.time ?? '') > Date.parse(events.at(-1)?.time ?? '')) events.reverse()
      const signed = events.findLast(({ status }) => status === 'DELIVERED')
      return ok({
        key: parcelKey(com, nu),
        trackingNumber: nu,
        carrier: com,
        carrierName: nameOf(com),
        status: state === null ? 'UNKNOWN' : meaningOf(state),
        vendorStatus: state,
        recipientRegion: routeInfo?.to ?? null,
        expectedDelivery: /^\d{4}-\d{2}-\d{2}/.exec(arrivalTime ?? '')?.[0] ?? null,
        signedBy: null,
        signedAt: signed?.time ?? null,
        orderNumbers: [],
        deliveryNumbers: [],
        events,
        updatedAt: events.at(-1)?.time ?? null,
      })
    },

    followed: (carrier, number) => ({
      key: parcelKey(carrier, number),
      trackingNumber: number,
      carrier,
      carrierName: nameOf(carrier),
      status: 'UNKNOWN',
      vendorStatus: null,
      recipientRegion: null,
      expectedDelivery: null,
      signedBy: null,
      signedAt: null,
      orderNumbers: [],
      deliveryNumbers: [],
      events: [],
      updatedAt: null,
    }),
  }
}

const unreadable = (detail: string): Outcome<never> =>
  fail({ kind: 'invalid-response', detail: `a trace cannot be read: ${detail}` })
