/**
 * A transport system with a JSON REST interface over the parcels of the demo world, strict: it refuses what it does not
 * know. Shares no code with the adapter.
 */
import { sendParcel } from '../../simulation/parcels.ts'
import type { SimulatedRequest } from '../../simulation/server.ts'
import {
  type Answered,
  actorOf,
  authenticate,
  BadField,
  codedWrapping,
  contains,
  decodePath,
  ID,
  type Letter,
  listOf,
  listParameter,
  namedByIds,
  noSuchMethod,
  noSuchPath,
  objectOf,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type StrictOptions,
  type StrictSimulator,
  standardLetter,
  startStrictSimulator,
  TIMED_PAGE,
  text,
  timedPage,
} from '../../simulation/strict-json.ts'
import type { Parcel, ParcelStage, World, WorldChange } from '../../simulation/world.ts'

export type RestTmsSimulatorOptions = StrictOptions

export function startRestTmsSimulator(
  world: World,
  { port, auth, webhook, limit = 100 }: RestTmsSimulatorOptions,
): Promise<StrictSimulator> {
  return startStrictSimulator({
    port,
    wrapping: codedWrapping(40001),
    route(request) {
      authenticate(auth, request)
      return route(world, request, limit)
    },
    letters: webhook && { world, boxes: () => [webhook], write: letterOf },
  })
}

/* ---- what is shown ---- */

const CARRIERS: Readonly<Record<string, string>> = {
  SF: '顺丰速运',
  YTO: '圆通速递',
  JT: '极兔速递',
  EMS: 'EMS',
}
const STATUSES: Readonly<Record<ParcelStage, string>> = {
  COLLECTED: 'PICKED_UP',
  MOVING: 'IN_TRANSIT',
  CUSTOMS: 'CUSTOMS',
  OUT: 'OUT_FOR_DELIVERY',
  SIGNED: 'DELIVERED',
  PROBLEM: 'EXCEPTION',
  REFUSED: 'EXCEPTION',
  RETURNING: 'RETURNING',
  RETURNED: 'RETURNED',
}

const idOf = ({ number }: Parcel): string => `T-${number}`
const statusOf = ({ steps }: Parcel): string => {
  const last = steps.at(-1)
  return last ? STATUSES[last.stage] : 'CREATED'
}

const show = (parcel: Parcel): Shown => ({
  shipmentId: idOf(parcel),
  trackingNo: parcel.number,
  carrierCode: parcel.carrier,
  carrierName: CARRIERS[parcel.carrier] ?? parcel.carrier,
  status: statusOf(parcel),
  recipientRegion: parcel.to,
  expectedDate: parcel.expectedDay,
  signedBy: parcel.signedBy,
  signedTime: parcel.steps.find(({ stage }) => stage === 'SIGNED')?.at ?? null,
  orderNos: parcel.orderNo === null ? [] : [parcel.orderNo],
  deliveryNos: parcel.deliveryNo === null ? [] : [parcel.deliveryNo],
  // Newest first, as people read it.
  tracks: parcel.steps
    .map(({ at, place, text, stage }) => ({
      time: at,
      location: place,
      description: text,
      status: STATUSES[stage],
    }))
    .reverse(),
  createTime: parcel.createdAt,
  updateTime: parcel.updatedAt,
})

/* ---- requests ---- */

function route(world: World, request: SimulatedRequest, limit: number): Answered {
  const [found, id] = /^\/api\/v1\/shipments(?:\/([^/]+))?$/.exec(request.path) ?? []
  if (found === undefined) throw noSuchPath(request)
  if (id === undefined && request.method === 'POST') return follow(world, request)
  if (request.method !== 'GET') throw noSuchMethod(request, id === undefined ? 'GET, POST' : 'GET')
  if (id === undefined) return { data: list(world, request, limit) }
  refuseParameters(request)
  const key = decodePath(id)
  const parcel = world.all('parcels').find((one) => idOf(one) === key)
  if (!parcel) throw new Refusal(40401, '运单不存在', { shipmentId: key })
  return { data: show(parcel) }
}

function list(world: World, request: SimulatedRequest, limit: number): Shown {
  refuseParameters(request, ['ids', 'trackingNos', 'orderNos', 'deliveryNos', 'search', ...TIMED_PAGE])
  const all = world.all('parcels')
  const named = namedByIds(request, all, idOf, limit, show)
  if (named) return named
  const [numbers, orders, deliveries] = ['trackingNos', 'orderNos', 'deliveryNos'].map((name) =>
    listParameter(request, name, limit),
  )
  const search = request.query.get('search')
  const found = all
    .filter(({ number }) => !numbers || numbers.includes(number))
    .filter(({ orderNo }) => !orders || orders.includes(orderNo ?? ''))
    .filter(({ deliveryNo }) => !deliveries || deliveries.includes(deliveryNo ?? ''))
    .filter(({ number, orderNo, deliveryNo }) => contains([number, orderNo, deliveryNo], search))
  const timed = (one: Parcel) => ({ id: idOf(one), createdAt: one.createdAt, updatedAt: one.updatedAt })
  return timedPage(request, found, timed, limit, show)
}

const SHIPMENT = objectOf(
  {
    trackingNo: text(40, /^[A-Za-z0-9-]{6,}$/, 'is no tracking number'),
    carrierCode: text(20),
    phone: text(30),
    orderNos: listOf(ID, 1),
    deliveryNos: listOf(ID, 1),
  },
  ['trackingNo'],
)

/** What is followed already stays as it is: asking twice changes nothing. */
function follow(world: World, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  SHIPMENT(raw, '')
  const body = raw as {
    trackingNo: string
    carrierCode?: string
    phone?: string
    orderNos?: [string]
    deliveryNos?: [string]
  }
  const known = world.get('parcels', body.trackingNo)
  if (known) {
    if (body.carrierCode !== undefined && body.carrierCode !== known.carrier)
      throw new BadField('carrierCode', '运单属于另一家承运商', { carrierCode: known.carrier })
    return { data: show(known) }
  }
  const carrier = body.carrierCode
  if (carrier === undefined)
    throw new BadField('carrierCode', '无法识别承运商', { trackingNo: body.trackingNo })
  if (!Object.hasOwn(CARRIERS, carrier))
    throw new BadField('carrierCode', '承运商不存在', { carrierCode: carrier })
  // 顺丰 tells nothing without.
  if (carrier === 'SF' && !body.phone) throw new BadField('phone', '顺丰运单需要电话号码')
  const parcel = sendParcel(world, {
    number: body.trackingNo,
    carrier,
    phone: body.phone ?? '',
    from: '',
    to: '',
    orderNo: body.orderNos?.[0] ?? null,
    deliveryNo: body.deliveryNos?.[0] ?? null,
    expectedDay: null,
  })
  return { data: show(parcel), status: 201 }
}

/* ---- webhooks ---- */

function letterOf({ collection, entity, before }: WorldChange): Letter | undefined {
  if (collection !== 'parcels') return undefined
  const parcel = entity as Parcel
  const same = !before || statusOf(before as Parcel) === statusOf(parcel)
  const happened = !before ? 'created' : same ? 'updated' : 'status.changed'
  return standardLetter(`shipment.${happened}`, idOf(parcel), { source: 'rest_tms' })
}
