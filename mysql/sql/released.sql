SELECT @mine
