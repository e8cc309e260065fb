SELECT @epoch
