// Shuts a mounted file system down as a power cut would: what was not synced is gone.
//
//   powercut MOUNTPOINT
//
// The request is FS_IOC_SHUTDOWN, _IOR('X', 125, __u32), which ext4 and XFS share. Flag 2 flushes
// neither the log nor the data.

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define FS_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2u

int main(int count, char **arguments) {
  uint32_t flags = NO_LOG_FLUSH;
  if (count != 2) {
    fprintf(stderr, "usage: powercut MOUNTPOINT\n");
    return 2;
  }
  int directory = open(arguments[1], O_RDONLY | O_DIRECTORY);
  if (directory < 0) {
    perror(arguments[1]);
    return 1;
  }
  if (ioctl(directory, FS_IOC_SHUTDOWN, &flags) != 0) {
    perror("FS_IOC_SHUTDOWN");
    return 1;
  }
  return 0;
}
