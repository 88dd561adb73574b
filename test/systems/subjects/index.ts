/** Who is held to the contract. Adding a kind is adding its file and a line here. */

import type { Subject } from '../subject.ts'
import http from './http.ts'
import jushuitan from './jushuitan.ts'
import kingdeeK3 from './kingdee-k3.ts'
import kuaidi100 from './kuaidi100.ts'
import restCrm from './rest-crm.ts'
import restErp from './rest-erp.ts'
import restFinance from './rest-finance.ts'
import restTms from './rest-tms.ts'
import restWms from './rest-wms.ts'
import salesforce from './salesforce.ts'
import sapB1 from './sap-b1.ts'
import sapS4 from './sap-s4.ts'
import soapFinance from './soap-finance.ts'
import wangdiantong from './wangdiantong.ts'
import yonyouNc from './yonyou-nc.ts'
import yonyouU8 from './yonyou-u8.ts'

export const subjects: Readonly<Record<string, Subject>> = {
  'sap-b1': sapB1,
  'sap-s4': sapS4,
  'kingdee-k3': kingdeeK3,
  'yonyou-u8': yonyouU8,
  'yonyou-nc': yonyouNc,
  salesforce,
  'rest-crm': restCrm,
  'rest-erp': restErp,
  'rest-finance': restFinance,
  'rest-tms': restTms,
  'rest-wms': restWms,
  'soap-finance': soapFinance,
  jushuitan,
  wangdiantong,
  kuaidi100,
  http,
}
