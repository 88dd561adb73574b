/** Every sort of system that can be configured. Adding one is adding a folder and a line here. */
import type { z } from 'zod'
import { httpConfig } from './http/config.ts'
import { kingdeeK3Config } from './kingdee-k3/config.ts'
import type { CreateAdapter } from './port.ts'
import { restCrmConfig } from './rest-crm/config.ts'
import { restWmsConfig } from './rest-wms/config.ts'
import { sapB1Config } from './sap-b1/config.ts'
import { sapS4Config } from './sap-s4/config.ts'
import { soapFinanceConfig } from './soap-finance/config.ts'
import { yonyouU8Config } from './yonyou-u8/config.ts'

export interface Kind {
  /** Checks the settings that belong to this kind alone. */
  readonly config: z.ZodType
  /** Loads the adapter: a process that does not use a kind does not pay for it. */
  load(): Promise<CreateAdapter<never>>
}

export const kinds: Readonly<Record<string, Kind>> = {
  'sap-b1': { config: sapB1Config, load: async () => (await import('./sap-b1/adapter.ts')).createSapB1 },
  'sap-s4': { config: sapS4Config, load: async () => (await import('./sap-s4/adapter.ts')).createSapS4 },
  'kingdee-k3': {
    config: kingdeeK3Config,
    load: async () => (await import('./kingdee-k3/adapter.ts')).createKingdeeK3,
  },
  'rest-crm': {
    config: restCrmConfig,
    load: async () => (await import('./rest-crm/adapter.ts')).createRestCrm,
  },
  'rest-wms': {
    config: restWmsConfig,
    load: async () => (await import('./rest-wms/adapter.ts')).createRestWms,
  },
  'soap-finance': {
    config: soapFinanceConfig,
    load: async () => (await import('./soap-finance/adapter.ts')).createSoapFinance,
  },
  http: { config: httpConfig, load: async () => (await import('./http/adapter.ts')).createHttpSystem },
  'yonyou-u8': {
    config: yonyouU8Config,
    load: async () => (await import('./yonyou-u8/adapter.ts')).createYonyouU8,
  },
}
