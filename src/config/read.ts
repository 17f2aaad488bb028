import { readFileOf } from '../option-file.ts'
import { defaultPolicy, type Policy } from '../rules/policy.ts'
import { loadPolicy } from './load.ts'

/** The policy in the file of --config; the defaults where none is given. Throws UsageError and ConfigurationError. */
export const readPolicy = async (file: string | undefined): Promise<Policy> =>
  file === undefined ? defaultPolicy : loadPolicy(await readFileOf('--config', file), file)
