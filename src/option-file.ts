import { readFile } from 'node:fs/promises'
import { UsageError } from './usage-error.ts'

/** The text of a file that an option names. Throws UsageError. */
export const readFileOf = async (option: string, file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${option} ${file}: ${(error as Error).message}`, { cause: error })
  }
}
