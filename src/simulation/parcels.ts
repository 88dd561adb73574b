/**
 * What the carriers of the demo world know of the parcels that they have: the tracking services show it, each in its
 * own words.
 */
import type { Parcel, ParcelStage, ParcelStep, WorldState } from './state.ts'
import { nowText } from './trade.ts'

/** Somebody hands a parcel over, or announces it where there is no first step. */
export function sendParcel(
  world: WorldState,
  draft: Omit<Parcel, 'steps' | 'signedBy' | 'createdAt' | 'updatedAt'> & { readonly at?: string },
): Parcel {
  const { at = nowText(), ...rest } = draft
  const parcel: Parcel = { ...rest, steps: [], signedBy: null, createdAt: at, updatedAt: at }
  world.put('parcels', parcel)
  return parcel
}

/** The carrier scans it. */
export function scanParcel(
  world: WorldState,
  number: string,
  stage: ParcelStage,
  place: string,
  text: string,
  more: { readonly at?: string; readonly signedBy?: string } = {},
): Parcel {
  const parcel = world.get('parcels', number)
  if (!parcel) throw new Error(`there is no parcel ${number}`)
  const at = more.at ?? nowText()
  const step: ParcelStep = { at, place, text, stage }
  const after = {
    ...parcel,
    steps: [...parcel.steps, step],
    signedBy: more.signedBy ?? parcel.signedBy,
    updatedAt: at,
  }
  world.put('parcels', after)
  return after
}

/** The parcel of the warehouse's first delivery, one that arrived, one in trouble, one abroad, one only announced. */
export function seedParcels(world: WorldState): void {
  const shop = sendParcel(world, {
    number: 'SF1000000007', // what the warehouse wrote on OB-000001
    carrier: 'SF',
    phone: '+86 755 8600 1234',
    from: '广东省深圳市',
    to: '上海市浦东新区',
    orderNo: 'TB-20260612-0001',
    deliveryNo: 'OB-000001',
    expectedDay: '2026-06-14',
    at: '2026-06-12T08:30:00.000Z',
  })
  const steps = (
    number: string,
    list: readonly [string, ParcelStage, string, string][],
    signedBy?: string,
  ) => {
    for (const [at, stage, place, text] of list)
      scanParcel(world, number, stage, place, text, {
        at,
        ...(stage === 'SIGNED' && signedBy ? { signedBy } : {}),
      })
  }
  steps(shop.number, [
    ['2026-06-12T10:05:20.000Z', 'COLLECTED', '广东省深圳市', '【深圳前海营业点】已收取快件'],
    ['2026-06-12T22:41:09.000Z', 'MOVING', '广东省深圳市', '快件已发往 上海浦东集散中心'],
  ])
  const arrived = sendParcel(world, {
    number: 'YT7700000000011',
    carrier: 'YTO',
    phone: '13800138000',
    from: '浙江省杭州市',
    to: '北京市朝阳区',
    orderNo: '1001',
    deliveryNo: null,
    expectedDay: '2026-03-03',
    at: '2026-03-01T01:00:00.000Z',
  })
  steps(
    arrived.number,
    [
      ['2026-03-01T02:20:30.000Z', 'COLLECTED', '浙江省杭州市', '【杭州萧山公司】已揽收 📦'],
      ['2026-03-01T15:59:59.000Z', 'MOVING', '浙江省杭州市', '离开【杭州转运中心】，下一站【北京转运中心】'],
      ['2026-03-02T23:10:00.000Z', 'OUT', '北京市朝阳区', '【北京朝阳公司】派件中，请保持电话畅通'],
      ['2026-03-03T03:30:00.000Z', 'SIGNED', '北京市朝阳区', '客户签收人：张伟，已签收'],
    ],
    '张伟',
  )
  const trouble = sendParcel(world, {
    number: 'JT5200000000023',
    carrier: 'JT',
    phone: '13900139000',
    from: '广东省广州市',
    to: '四川省成都市',
    orderNo: null,
    deliveryNo: null,
    expectedDay: null,
    at: '2026-06-01T01:00:00.000Z',
  })
  steps(trouble.number, [
    ['2026-06-01T04:00:00.000Z', 'COLLECTED', '广东省广州市', '已揽收'],
    ['2026-06-04T02:15:00.000Z', 'REFUSED', '四川省成都市', '收件人拒收："外箱破损"'],
  ])
  const abroad = sendParcel(world, {
    number: 'EA123456785CN',
    carrier: 'EMS',
    phone: '021-55500001',
    from: '上海市',
    to: 'Hamburg',
    orderNo: null,
    deliveryNo: null,
    expectedDay: null,
    at: '2026-06-10T01:00:00.000Z',
  })
  steps(abroad.number, [
    ['2026-06-10T06:00:00.000Z', 'COLLECTED', '上海市', '邮件已收寄'],
    ['2026-06-13T00:30:00.000Z', 'CUSTOMS', 'Frankfurt', 'Held by customs, awaiting clearance'],
  ])
  sendParcel(world, {
    number: 'YT7700000000099',
    carrier: 'YTO',
    phone: '13700137000',
    from: '浙江省杭州市',
    to: '江苏省南京市',
    orderNo: null,
    deliveryNo: null,
    expectedDay: null,
    at: '2026-06-28T01:00:00.000Z',
  })
}
