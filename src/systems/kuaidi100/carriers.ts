/**
 * Carriers by 快递100's own codes, with the names under which shops and warehouses know them.
 * @see https://api.kuaidi100.com/document (快递公司编码)
 */

export interface Carrier {
  readonly name: string
  /** Other names and codes, compared without regard to case. */
  readonly aliases: readonly string[]
  /** What its tracking numbers look like, where that tells them from others'; a regular expression. */
  readonly numbers?: string | undefined
  /** Tells nothing without the last digits of the recipient's or the sender's telephone number. */
  readonly needsPhone: boolean
}

const carrier = (name: string, aliases: string, numbers?: string, needsPhone = false): Carrier => ({
  name,
  aliases: aliases.split(' '),
  numbers,
  needsPhone,
})

/** The usual ones; the vendor knows more than a thousand. */
export const CARRIERS: Readonly<Record<string, Carrier>> = {
  shunfeng: carrier('顺丰速运', 'SF 顺丰 顺丰快递', '^SF\\d{10,13}$', true),
  shunfengkuaiyun: carrier('顺丰快运', 'SFKY', undefined, true),
  yuantong: carrier('圆通速递', 'YTO YT 圆通 圆通快递', '^YT\\d{13}$'),
  zhongtong: carrier('中通快递', 'ZTO 中通'),
  yunda: carrier('韵达快递', 'YD 韵达'),
  shentong: carrier('申通快递', 'STO 申通'),
  jtexpress: carrier('极兔速递', 'JT JTSD 极兔', '^JT\\d{13}$'),
  jd: carrier('京东物流', 'JD JDL 京东 京东快递', '^JD[A-Z0-9]{11,20}$'),
  ems: carrier('EMS', 'EMS 邮政EMS', '^E[A-Z]\\d{9}CN$'),
  youzhengguonei: carrier('邮政快递包裹', 'YZPY 中国邮政 邮政'),
  debangkuaidi: carrier('德邦快递', 'DBL 德邦', '^DPK\\d{12}$'),
  huitongkuaidi: carrier('百世快递', 'HTKY 百世'),
  zhaijisong: carrier('宅急送', 'ZJS'),
}

export interface Carriers {
  /** @returns The vendor's code of a carrier given by code, name or alias; null where nobody here knows it. */
  codeOf(given: string): string | null
  /** @returns The code, where the number alone tells. */
  ofNumber(number: string): string | undefined
  nameOf(code: string): string | null
  needsPhone(code: string): boolean
}

export function createCarriers(table: Readonly<Record<string, Carrier>>): Carriers {
  const byName = new Map<string, string>()
  for (const [code, { name, aliases }] of Object.entries(table))
    for (const one of [code, name, ...aliases]) byName.set(one.toLowerCase(), code)
  const patterns = Object.entries(table).flatMap(([code, { numbers }]) =>
    numbers === undefined ? [] : [{ code, pattern: new RegExp(numbers) }],
  )
  return {
    codeOf: (given) => byName.get(given.trim().toLowerCase()) ?? null,
    ofNumber: (number) => patterns.find(({ pattern }) => pattern.test(number))?.code,
    nameOf: (code) => table[code]?.name ?? null,
    needsPhone: (code) => table[code]?.needsPhone ?? false,
  }
}
